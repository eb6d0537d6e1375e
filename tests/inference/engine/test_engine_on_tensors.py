"""The engine on a device that knows whole tensors only: whatever is asked, and whoever joins when, answers are equal.

The fake device computes with the CPU's kernels, and all that it has not been given is no number.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.inference.engine.test_engine_on_device import FORMS, answers, drain, requests
from tests.inference.fake_device import FakeBinding, FakeTensors, open_on_tensors
from tests.inference.forms_toy import Form, write_form
from turnwise.core.canonical import canonical
from turnwise.errors import EnvironmentFailure
from turnwise.inference.decoding import kv_memory
from turnwise.inference.decoding.agreement import difference
from turnwise.inference.decoding.decoder import Decoder
from turnwise.inference.decoding.graph_form import Rule
from turnwise.inference.decoding.numeric_class import observe_numeric_class
from turnwise.inference.decoding.tensor_slab import RowCopies
from turnwise.inference.engine.engine import Engine
from turnwise.inference.engine.language_model import LanguageModel
from turnwise.inference.engine.load import load_model
from turnwise.inference.folders.model_folder import read_model_folder
from turnwise.inference.onnx.sessions import Opened
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.requests.check_request import CheckReply, CheckRequest
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest


def opened_on(path: Path, device: FakeTensors, *, reproducible: bool = True) -> Opened:
    folder = read_model_folder(path)
    spec = ModelSpec("m", path, reproducible=reproducible)
    return open_on_tensors(spec, folder.layout.graph_path, folder.weights_bytes, folder.layout.names.logits, device)


def on_tensors(path: Path, device: FakeTensors, options: EngineOptions | None = None) -> Decoder:
    return Decoder(read_model_folder(path), opened_on(path, device), options)


@pytest.fixture(scope="module", params=FORMS, ids=str)
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[LanguageModel, LanguageModel, FakeTensors]:
    """A model on the host, and on the device."""
    path = write_form(tmp_path_factory.mktemp("model") / "m", request.param)
    device = FakeTensors()
    here = load_model(ModelSpec("m", path, "cpu"))
    return here, replace(here, decoder=on_tensors(path, device)), device


def test_whatever_is_asked(both: tuple[LanguageModel, LanguageModel, FakeTensors]) -> None:
    here, there, device = both
    assert there.decoder.form.startswith("in_place")
    assert there.machine_plan.blocks > 0
    expected = answers(Engine(here), requests())
    assert sum("error" in json.loads(reply.body) for reply in expected.values()) == 1
    engine = Engine(there)
    assert answers(engine, requests()) == expected
    assert answers(engine, requests()) == expected, "and from a warm cache"
    assert engine.statistics().reused_tokens > 0
    assert engine.statistics().extensions > 0
    assert engine.statistics().step_rows > 2 * engine.statistics().steps
    assert device.copies > 0


def test_joining_late_and_going_away(both: tuple[LanguageModel, LanguageModel, FakeTensors]) -> None:
    """Rows move on the device when others end or are cancelled, and become fewer when few are left."""
    here, there, device = both
    expected = answers(Engine(here), requests())
    engine = Engine(there)
    found: dict[int, GenerateReply] = {}
    for number, one in enumerate(requests()):
        engine.submit(one)
        for _ in range(3):
            found |= {event.id: event for event in engine.step() if isinstance(event, GenerateReply)}
        if number == 6:
            engine.cancel(0)
            engine.cancel(5)
    most = device.taken_bytes
    found |= drain(engine)
    assert found == {number: reply for number, reply in expected.items() if number in found}
    assert expected.keys() - found.keys() <= {0, 5}
    assert device.taken_bytes < most or there.decoder.rows_min > 1


def test_recorded_answers_are_held_against_it(both: tuple[LanguageModel, LanguageModel, FakeTensors]) -> None:
    here, there, _ = both
    replies = answers(Engine(here), requests())
    checks = [CheckRequest(one, replies[one.id].tokens or (), replies[one.id].body) for one in requests()]
    engine = Engine(there)
    for check in checks:
        engine.check(check)
    found: dict[int, CheckReply] = {}
    while engine.pending:
        found |= {event.id: event for event in engine.step() if isinstance(event, CheckReply)}
    assert [found[number].departure for number in range(len(checks))] == [None] * len(checks)


@pytest.fixture
def grouped(tmp_path: Path) -> Path:
    return write_form(tmp_path / "m", Form("grouped"))


def test_a_row_is_run_alone_where_the_batch_is_refused(grouped: Path) -> None:
    """One row of several by itself: the others do not notice."""
    here, there = load_model(ModelSpec("m", grouped, "cpu")).decoder, on_tensors(grouped, FakeTensors())
    found = []
    for decoder in (here, there):
        decoder.begin(100)
        decoder.reserve(3, 100)
        for row in range(3):
            decoder.prefill(row, [7 + row] * (4 + 9 * row), 4 + 9 * row)
        rows = [decoder.decode([9], [row])[0].copy() for row in (1, 2, 0, 1)]
        decoder.retract(1)
        found.append([*rows, *(logits.copy() for logits in decoder.decode([4, 5, 6]))])
    assert all(np.array_equal(ours, theirs) for ours, theirs in zip(*found, strict=True))


def test_prompts_begin_where_others_end_on_a_grid(grouped: Path) -> None:
    decoder = on_tensors(grouped, FakeTensors())
    assert decoder.prompts.cut(300) == [128, 128, 44]
    assert [decoder.prompts.reusable(tokens) for tokens in (127, 128, 300)] == [0, 128, 256]


def test_all_sizes_of_steps_are_tried(grouped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TURNWISE_CACHE", str(tmp_path / "cache"))
    folder, device, sizes = read_model_folder(grouped), FakeTensors(), set()
    opened = opened_on(grouped, device)
    opened.session.spoil = lambda binding: sizes.add(binding.rows if binding.new_tokens == 1 else 1)
    found = observe_numeric_class(ModelSpec("m", grouped), folder, opened, "digest")
    assert sizes == {1, 2, 4, 8, 16, 32}
    assert found.numeric_class == "batch-invariant"
    assert found.rule == Rule("free", True, 1)
    assert found.checks.keys() == {"run = run", "alone = in a batch", "whole = in pieces", "cold = warm"}
    assert device.taken_bytes == 0, "the memory of the trial is given back"


@pytest.mark.parametrize(
    ("otherwise", "memory_bytes", "rule"),
    [
        ({1, 2, 4}, 8 << 30, Rule("free", True, 8)),
        ({4}, 8 << 30, Rule("free", True, 8)),
        ({2, 16}, 8 << 30, Rule("free", True, 32)),
        ({1, 2, 4}, 6 << 20, Rule("single", True, 1)),
    ],
)
def test_steps_of_few_rows_are_left_out_where_they_sum_otherwise(
    grouped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, otherwise: set[int], memory_bytes: int, rule: Rule
) -> None:
    """If there is room for eight rows of the whole context; else sequences run one by one."""

    def sums_otherwise(binding: FakeBinding) -> None:
        """Another last bit of the first logit in steps of these sizes."""
        if binding.new_tokens == 1 and binding.rows in otherwise:
            logits, _ = binding.outputs["logits"]
            logits[0] ^= 1

    monkeypatch.setenv("TURNWISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(kv_memory, "UNKNOWN_DEVICE_BYTES", memory_bytes)
    folder, device = read_model_folder(grouped), FakeTensors()
    opened = opened_on(grouped, device)
    opened.session.spoil = sums_otherwise
    found = observe_numeric_class(ModelSpec("m", grouped), folder, opened, "digest")
    assert (found.numeric_class, found.rule) == ("batch-invariant", rule)
    again = observe_numeric_class(ModelSpec("m", grouped), folder, opened, "digest")
    assert again == found, "as it is remembered"
    decoder = Decoder(folder, opened, None, rule.batching, rule.chunked, rule.rows_min)
    decoder.begin(40)
    decoder.prefill(0, [5, 6])
    decoder.decode([7])
    assert len(decoder._steps.tokens) == rule.rows_min


@contextmanager
def wrong_copies(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Copies of rows that leave out the last position."""
    right = RowCopies.rows

    def rows(self: RowCopies, source: object, rows: object, target: object, to: object, count: int) -> None:
        right(self, source, rows, target, to, count - 64 or 1)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(RowCopies, "rows", rows)
        yield


def test_a_device_that_copies_wrongly_is_noticed(
    grouped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TURNWISE_CACHE", str(tmp_path / "cache"))
    folder, reference = read_model_folder(grouped), load_model(ModelSpec("m", grouped, "cpu")).decoder
    with wrong_copies(monkeypatch):
        found = observe_numeric_class(ModelSpec("m", grouped), folder, opened_on(grouped, FakeTensors()), "digest")
        seen = difference(on_tensors(grouped, FakeTensors()), reference, folder.layout.vocabulary_size, 0.001)
    assert found.rule != Rule("free", True, 1), "alone it is never copied"
    assert seen is not None
    assert "of a batch of 3" in seen
    assert difference(on_tensors(grouped, FakeTensors()), reference, folder.layout.vocabulary_size, 0.001) is None


def test_too_little_memory_is_said(grouped: Path) -> None:
    device = FakeTensors()
    decoder = on_tensors(grouped, device)
    device.memory_bytes = 0
    with pytest.raises(EnvironmentFailure, match="no memory left"):
        decoder.begin(100)


def test_without_equal_bits_answers_are_kept_too(grouped: Path) -> None:
    model = load_model(ModelSpec("m", grouped, "cpu", reproducible=False))
    folder = read_model_folder(grouped)
    decoder = Decoder(folder, opened_on(grouped, FakeTensors(), reproducible=False))
    here, there = Engine(model), Engine(replace(model, decoder=decoder))
    expected = answers(here, requests()[:1])
    assert answers(there, requests()[:1]) == expected
    goes_on = json.loads(expected[0].body)["ok"]["text"]
    later = GenerateRequest(20, "m", canonical({"prompt": "once upon 0" + goes_on, "tokens_max": 4}), bytes(32))
    assert answers(there, [later]) == answers(here, [later])
    assert there.statistics().reused_tokens == here.statistics().reused_tokens > 0
