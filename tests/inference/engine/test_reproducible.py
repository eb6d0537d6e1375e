"""Models whose equal bits are given up: the fastest rule that the graph takes, and answers that are kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.inference import toy
from tests.inference.fake_device import FakeDevice, open_on_device
from tests.inference.forms_toy import Form, write_form
from turnwise.core.canonical import canonical
from turnwise.errors import ModelError
from turnwise.inference.decoding.decoder import Decoder
from turnwise.inference.engine.engine import Engine
from turnwise.inference.engine.language_model import LanguageModel
from turnwise.inference.engine.load import load_model
from turnwise.inference.folders.model_folder import read_model_folder
from turnwise.inference.onnx.providers import CUDA_ENVIRONMENT, CUDA_OPTIONS, cuda_options, prepare_cuda
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest
from turnwise.inference.server.server import _load_all


def load(path: Path, *, reproducible: bool = False) -> LanguageModel:
    return load_model(ModelSpec("m", path, "cpu", reproducible=reproducible))


def answers(engine: Engine, *prompts: str, **body: Any) -> list[dict[str, Any]]:
    for number, prompt in enumerate(prompts):
        request = canonical({"prompt": prompt, "tokens_max": 12, **body})
        engine.submit(GenerateRequest(number, "m", request, bytes([number]) * 32))
    found: dict[int, dict[str, Any]] = {}
    while engine.pending:
        found |= {event.id: json.loads(event.body) for event in engine.step() if isinstance(event, GenerateReply)}
    return [found[number]["ok"] for number in range(len(prompts))]


@pytest.mark.parametrize(
    ("form", "rule"),
    [
        (Form("grouped"), ("free", True)),
        (Form("grouped", "int4", 128, 4), ("free", True)),
        (Form("grouped", "int8"), ("free", True)),
        (Form("multihead"), ("equal", True)),
        (Form("decomposed", "fp16"), ("equal", True)),
    ],
    ids=str,
)
def test_the_fastest_rule_that_runs_is_taken(
    form: Form, rule: tuple[str, bool], tmp_path: Path, own_cache: Path
) -> None:
    model = load(write_form(tmp_path / "model", form))
    numeric = model.info.numeric
    assert numeric is not None
    assert (numeric.numeric_class, numeric.reproducible, numeric.checks) == ("none", False, {})
    assert (numeric.batching, numeric.chunked) == rule
    assert not (own_cache / "self-tests.json").exists(), "nothing is tried that would have to be remembered"
    bodies = answers(Engine(model), "Once upon a time", "x", "The quick brown fox", "abc")
    assert [body["tokens"] for body in bodies] == [12] * 4


def test_a_graph_that_refuses_pieces_runs_prompts_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_form(tmp_path / "model", Form("grouped"))
    real = Decoder.prefill

    def refuses(decoder: Decoder, row: int, ids: Any, whole: int | None = None) -> Any:
        if decoder.held(row) and decoder.chunk_tokens is not None:
            raise RuntimeError("Non-zero status code returned while running a node: one piece only")
        return real(decoder, row, ids, whole)

    monkeypatch.setattr(Decoder, "prefill", refuses)
    monkeypatch.setattr("turnwise.inference.engine.load._try_out", lambda folder, decoder: None)
    numeric = load(folder).info.numeric
    assert numeric is not None
    assert (numeric.batching, numeric.chunked) == ("free", False)


def test_an_answer_is_the_beginning_of_a_conversation(tmp_path: Path) -> None:
    """What steps wrote is not run again, where bits may be any."""
    folder = write_form(tmp_path / "model", Form("grouped"))
    reused = {}
    for reproducible in (False, True):
        engine = Engine(load(folder, reproducible=reproducible))
        [first] = answers(engine, "Once upon a time there was a lamp", tokens_max=90, regex="[a-z ]{90}")
        answers(engine, "Once upon a time there was a lamp" + first["text"] + " and more")
        reused[reproducible] = engine.statistics().reused_tokens
    assert 0 < reused[True] < 40
    assert reused[False] >= reused[True] + 64


def test_an_answer_that_a_grammar_forced_is_kept_as_it_ran(tmp_path: Path) -> None:
    engine = Engine(load(write_form(tmp_path / "model", Form("grouped"))))
    regex = "begins with a long text that is forced, and ends with [a-z]{4}"
    [first] = answers(engine, "Once upon", regex=regex, tokens_max=80)
    before = engine.statistics().reused_tokens
    [second] = answers(engine, "Once upon" + first["text"] + " and", tokens_max=3)
    assert engine.statistics().reused_tokens - before >= 32
    assert second["tokens"] == 3
    cold = Engine(load(tmp_path / "model"))
    assert answers(cold, "Once upon" + first["text"] + " and", tokens_max=3) == [second]


def test_on_a_device_no_row_is_added(tmp_path: Path) -> None:
    folder = read_model_folder(write_form(tmp_path / "model", Form("grouped", "int4", 32, 4)))
    found = {}
    for reproducible in (True, False):
        spec = ModelSpec("m", folder.path, reproducible=reproducible)
        logits, device = folder.layout.names.logits, FakeDevice(132)
        opened = open_on_device(spec, folder.layout.graph_path, folder.weights_bytes, logits, device)
        found[reproducible] = Decoder(folder, opened, EngineOptions(rows_max=4))
    assert found[True].rows_min >= 17
    assert found[False].rows_min == 1
    assert found[True].prompts.reusable(300) == 256
    assert found[False].prompts.reusable(300) == 300
    assert found[False].keeps_answers
    assert not found[True].keeps_answers


def test_cuda_chooses_its_kernels_where_bits_may_be_any(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CUDA_ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    assert cuda_options(True) == CUDA_OPTIONS
    assert cuda_options(False).keys() == CUDA_OPTIONS.keys() - {"sdpa_kernel"}
    assert prepare_cuda(False) == {}
    assert prepare_cuda(True) == CUDA_ENVIRONMENT
    assert prepare_cuda(False) == CUDA_ENVIRONMENT, "another model of this process needs it"


def test_models_that_need_equal_bits_are_loaded_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def loaded(spec: ModelSpec, options: EngineOptions) -> LanguageModel:
        order.append(spec.name)
        return load_model(spec, options)

    monkeypatch.setattr("turnwise.inference.server.server.load_model", loaded)
    folder = toy.write_attention_folder(tmp_path / "model")
    specs = [ModelSpec(name, folder, "cpu", reproducible=name not in "ad") for name in "abcd"]
    assert [model.info.name for model in _load_all(specs, EngineOptions())] == ["a", "b", "c", "d"]
    assert order == ["b", "c", "a", "d"]


def test_what_generates_no_text_has_one_way_to_run(tmp_path: Path) -> None:
    from tests.inference import graphs

    graphs.write_graph(tmp_path / "policy.onnx", graphs.dense_graph())
    graphs.write_encoder(tmp_path / "encoder")
    for path in (tmp_path / "policy.onnx", tmp_path / "encoder"):
        with pytest.raises(ModelError, match="one way to run") as caught:
            _load_all([ModelSpec("m", path, "cpu", reproducible=False)], EngineOptions())
        assert caught.value.where == "models.m.reproducible"
