"""The bits of an answer depend on its request, its stream and the model, and on nothing else that happens."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.conftest import named_stories
from tests.inference import toy
from tests.inference.forms_toy import Form, write_form
from tests.inference.layouts_toy import story_layout
from turnwise.core.canonical import canonical
from turnwise.inference.decoding.graph_form import Rule
from turnwise.inference.decoding.self_test import SelfTest
from turnwise.inference.engine.engine import Engine
from turnwise.inference.engine.language_model import LanguageModel
from turnwise.inference.engine.load import load_model
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest

COMMON = "Once upon a time, there was a little girl named Lily. She loved to play in the park with her friends. " * 4
STARTS = ["Tom ", "The dog was ", "One day ", "a", "Sue and Tim ", "x " * 40, "She said: ", "In the big forest lived "]
GRAMMARS: list[dict[str, Any]] = [
    {
        "json_schema": {
            "type": "object",
            "properties": {
                "say": {"type": "string", "maxLength": 8},
                "price": {"type": "integer", "minimum": 1, "maximum": 99},
                "agreed_by_both": {"type": "boolean"},
            },
            "required": ["say", "price", "agreed_by_both"],
            "additionalProperties": False,
        }
    },
    {"regex": "I (will|would never) pay [1-9][0-9] coins for your old (boat|bell)[.]"},
    {"lark": 'start: "The cat " ("sat" | "lay") " on the " ("wide " | "red ") ("mat" | "bed") " of " /[A-Z]+/ "."'},
]
"""What they force is run in pieces."""
STORIES = ["genai-fp32", "genai-int4", "genai-int4-acc1", "genai-mha-fp32", "hf-fp32"]


class Traced(Engine):
    """An engine that keeps a hash of the logits from which each token was chosen, by request and token."""

    def __init__(self, model: Path | LanguageModel, **options: Any) -> None:
        if not isinstance(model, LanguageModel):
            model = load_model(ModelSpec("m", model, "cpu"), EngineOptions(**options))
        super().__init__(model)
        self.logits: dict[tuple[int, int], str] = {}

    def _accept(self, number: int, logits: NDArray[Any], chosen: Any = None) -> Any:
        index = self._sequences[number].tokens
        assert (number, index) not in self.logits
        self.logits[number, index] = hashlib.sha256(logits.tobytes()).hexdigest()
        return super()._accept(number, logits, chosen)


def request(number: int, prompt: str, **body: Any) -> GenerateRequest:
    settings = {"temperature": 0.7 * (number % 2), "tokens_max": 5 + 3 * (number % 5)} | body
    return GenerateRequest(number, "m", canonical({"prompt": prompt} | settings), bytes([number % 256]) * 32)


def mixed(count: int = 16) -> list[GenerateRequest]:
    """Prompts of very different lengths, some with a long beginning in common; some answers follow a grammar."""
    prompts = [COMMON * (number % 3 == 0) + STARTS[number % len(STARTS)] * (1 + number % 4) for number in range(count)]
    grammars = {number: GRAMMARS[number // 4 % 3] for number in range(2, count, 4)}
    more = {number: {"temperature": 1.0, "tokens_max": 60} | grammar for number, grammar in grammars.items()}
    return [request(number, prompt, **more.get(number, {})) for number, prompt in enumerate(prompts)]


Outcome = tuple[dict[int, str], dict[tuple[int, int], str]]


def drain(engine: Traced) -> dict[int, str]:
    replies: dict[int, str] = {}
    while engine.pending:
        replies |= {event.id: event.body for event in engine.step() if isinstance(event, GenerateReply)}
    return replies


def together(engine: Traced, requests: Iterable[GenerateRequest]) -> Outcome:
    for item in requests:
        engine.submit(item)
    return drain(engine), engine.logits


def alone(path: Path, requests: Sequence[GenerateRequest], **options: Any) -> Outcome:
    """Each by itself, with nothing prefilled before."""
    replies, logits = {}, {}
    for item in requests:
        found = together(Traced(path, rows_max=1, **options), [item])
        replies |= found[0]
        logits |= found[1]
    return replies, logits


@pytest.fixture(scope="module", params=["toy", *STORIES])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if request.param == "toy":
        return toy.write_attention_folder(tmp_path_factory.mktemp("toy"), context_length=1024)
    return story_layout(request.param, named_stories(), tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def expected(model: Path) -> Outcome:
    return alone(model, mixed())


def test_in_any_batch(model: Path, expected: Outcome) -> None:
    for rows_max in (2, 5, 32):
        engine = Traced(model, rows_max=rows_max)
        assert together(engine, mixed()) == expected
        statistics = engine.statistics()
        decoder = engine._decoder
        pieces = decoder.chunk_tokens is not None
        assert (statistics.extensions > 0, statistics.reused_tokens > 0) == (pieces, pieces)
        if decoder.batching != "single":
            assert statistics.step_rows > (1 if decoder.equal else 1.5) * statistics.steps


def test_in_any_order_of_arrival(model: Path, expected: Outcome) -> None:
    for seed in range(2):
        order = np.random.default_rng(seed).permutation(16)
        requests = mixed()
        assert together(Traced(model), [requests[index] for index in order]) == expected


def test_joining_late(model: Path, expected: Outcome) -> None:
    for every in (1, 4):
        engine = Traced(model)
        replies: dict[int, str] = {}
        for item in reversed(mixed()):
            engine.submit(item)
            for _ in range(every):
                replies |= {event.id: event.body for event in engine.step() if isinstance(event, GenerateReply)}
        assert (replies | drain(engine), engine.logits) == expected


def test_with_a_warm_cache(model: Path, expected: Outcome) -> None:
    engine = Traced(model)
    together(engine, mixed())
    before = engine.statistics()
    engine.logits = {}
    assert together(engine, reversed(mixed())) == expected
    after = engine.statistics()
    if engine._decoder.chunk_tokens is not None:
        assert after.prompt_tokens - before.prompt_tokens < before.prompt_tokens


def test_with_little_memory(model: Path, expected: Outcome) -> None:
    """Few rows, and a cache that holds a fraction of the prompts."""
    token = load_model(ModelSpec("m", model, "cpu")).info.kv_bytes_per_token
    engine = Traced(model, kv_bytes_max=token * 2600)
    assert together(engine, mixed()) == expected
    if engine._decoder.chunk_tokens is not None:
        assert 0 < engine.statistics().cached_blocks <= 2600 // 8 // 32


def test_in_chunks_of_any_size(model: Path, expected: Outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    for chunk in (3, 61, 1000):
        monkeypatch.setattr("turnwise.inference.decoding.decoder.CHUNK_TOKENS", chunk)
        assert together(Traced(model), mixed()) == expected


def test_with_two_threads(model: Path, expected: Outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turnwise.inference.onnx.sessions.SINGLE_THREAD_BYTES_MAX", 0)
    engine = Traced(model, threads_max=2)
    assert engine._model.info.threads == 2
    assert together(engine, mixed()) == expected


def test_in_another_process(model: Path, expected: Outcome) -> None:
    program = (
        "import json, sys; from pathlib import Path\n"
        "from tests.inference.engine.test_invariance import Traced, mixed, together\n"
        "replies, logits = together(Traced(Path(sys.argv[1])), mixed())\n"
        "print(json.dumps([list(replies.items()), [[*key, value] for key, value in logits.items()]]))"
    )
    found = subprocess.run([sys.executable, "-c", program, str(model)], capture_output=True, text=True, check=True)
    replies, logits = json.loads(found.stdout)
    assert dict(replies) == expected[0]
    assert {(number, index): value for number, index, value in logits} == expected[1]


def test_beside_others_that_are_cancelled(model: Path, expected: Outcome) -> None:
    engine = Traced(model)
    for item in mixed():
        engine.submit(item)
    others = [request(number, COMMON + STARTS[number % 8], tokens_max=60) for number in range(100, 108)]
    for item in others:
        engine.submit(item)
    replies: dict[int, str] = {}
    for number in range(100, 108):
        for _ in range(5):
            replies |= {event.id: event.body for event in engine.step() if isinstance(event, GenerateReply)}
        engine.cancel(number)
        assert number not in replies
    replies |= drain(engine)
    assert replies == expected[0]
    assert {key: value for key, value in engine.logits.items() if key[0] < 100} == expected[1]


def test_beside_others_with_logits_that_are_not_numbers(model: Path, expected: Outcome) -> None:
    """The third token of every other request is chosen from NaN."""

    class Spoilt(Traced):
        def _accept(self, number: int, logits: NDArray[Any], chosen: Any = None) -> Any:
            spoilt = number % 2 and self._sequences[number].tokens == 2
            bad = np.full_like(logits, np.nan)
            return super()._accept(number, bad) if spoilt else super()._accept(number, logits, chosen)

    replies, logits = together(Spoilt(model), mixed())
    for number, reply in replies.items():
        if number % 2:
            assert json.loads(reply)["error"]["kind"] == "refused"
        else:
            assert reply == expected[0][number]
    spoilt = {(number, 2) for number in range(1, 16, 2)}
    assert {key: value for key, value in logits.items() if key not in spoilt} == {
        key: value for key, value in expected[1].items() if key[0] % 2 == 0 or key[1] < 2
    }


def test_a_row_that_was_not_a_number_leaves_nothing_behind(tmp_path: Path) -> None:
    """One token's embedding is NaN, and so is the KV cache of whoever has it in the prompt."""
    spoilt = np.zeros((toy.VOCABULARY, 1), np.float32)
    spoilt[ord("!") + toy.BYTES_FROM] = np.nan
    graph = toy.attention_graph()
    graph.tensors.append(toy.tensor("spoilt", spoilt))
    graph.nodes[:1] = [
        toy.node("Gather", ["embedding", "input_ids"], ["clean"], axis=0),
        toy.node("Gather", ["spoilt", "input_ids"], ["spoils"], axis=0),
        toy.node("Add", ["clean", "spoils"], ["x"]),
    ]
    path = toy.write_folder(tmp_path, graph, configuration=toy.config(16, 2, context_length=512))
    good = [request(number, "well" * (number + 1), tokens_max=30) for number in range(0, 12, 2)]
    bad = [request(number, "bad" * number + "!" + "bad" * 20, tokens_max=30) for number in range(1, 12, 2)]
    expected = alone(path, good)
    engine = Traced(path, rows_max=4)
    for _ in range(3):
        engine.logits = {}
        replies, _ = together(engine, sorted(good + bad, key=lambda item: item.id))
        assert {number: replies[number] for number in expected[0]} == expected[0]
        assert all(json.loads(replies[item.id])["error"]["kind"] == "refused" for item in bad)


@pytest.mark.parametrize("batching", ["free", "even"])
def test_beside_others_whom_the_graph_refuses(tmp_path: Path, batching: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedding ends before the vocabulary, so the graph refuses every batch in which somebody has what is missing.

    (And with it most of the self-test's, so its finding is given.)
    """
    found = SelfTest("batch-invariant", Rule(batching, chunked=True), {})
    monkeypatch.setattr("turnwise.inference.engine.load.observe_numeric_class", lambda *arguments, **options: found)
    graph = toy.attention_graph()
    weights = np.random.default_rng(7).standard_normal((toy.VOCABULARY - 6, 32)).astype(np.float32)
    graph.tensors[0] = toy.tensor("embedding", weights)
    path = toy.write_folder(tmp_path, graph, configuration=toy.config(16, 2, context_length=512))
    requests = [request(number, "abc" * number + "d", temperature=2.0, tokens_max=40) for number in range(12)]
    expected = alone(path, requests)
    kinds = [json.loads(body).keys() for body in expected[0].values()]
    assert {"error"} in kinds
    assert {"ok"} in kinds
    engine = Traced(path)
    assert engine._decoder.batching == batching
    assert together(engine, requests) == expected


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 6), st.booleans()), min_size=4, max_size=20),
    st.integers(1, 6),
)
def test_whatever_happens(toys: tuple[Path, Outcome], happenings: list[tuple[int, int, bool]], rows_max: int) -> None:
    """Requests come again and again, at any time, some are dropped; what is answered has the same bits always."""
    path, expected = toys
    engine = Traced(path, rows_max=rows_max)
    requests = mixed(12)
    wanted: dict[int, int] = {}
    for number, (index, steps, dropped) in enumerate(happenings):
        original = requests[index]
        engine.submit(GenerateRequest(number, "m", original.body, original.stream))
        wanted[number] = index
        for _ in range(steps):
            for event in engine.step():
                if isinstance(event, GenerateReply):
                    assert event.body == expected[0][wanted.pop(event.id)]
        if dropped and wanted:
            victim = sorted(wanted)[len(wanted) // 2]
            engine.cancel(victim)
            del wanted[victim]
    for number, body in drain(engine).items():
        assert body == expected[0][wanted.pop(number)]
    assert not wanted
    assert engine.statistics().running == 0


@pytest.fixture(
    scope="module",
    params=[None, Form("decomposed"), Form("decomposed", "int4", 32, 0, merged=True), Form("multihead", "fp16")],
    ids=str,
)
def toys(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    path, form = tmp_path_factory.mktemp("toys"), request.param
    if form is None:
        toy.write_attention_folder(path, context_length=1024)
    else:
        write_form(path, form)
    return path, alone(path, mixed(12))
