"""Every form of graph that is known: the bits of an answer depend on its request and its stream alone.

The forms are those of `docs/models.md`, as small graphs that ONNX Runtime computes with the kernels of large ones. What
must not show: who else runs, when they came, what was prefilled before, the size of chunks, one thread or two, the
process, and whether the host died and was started again.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from tests.inference.engine.test_invariance import Outcome, Traced, drain, request, together
from tests.inference.forms_toy import Form, write_form
from turnwise.inference.engine.load import load_model
from turnwise.inference.host.host import InferenceHost
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest

INT4: Final = [
    Form("grouped" if block != 16 else "packed", "int4", block, level)
    for block in (16, 32, 64, 128)
    for level in (0, 1, 4)
]
GROWING_INT4: Final = [
    Form("decomposed", "int4", block, level, positions=level != 1) for block in (16, 32, 64, 128) for level in (0, 1, 4)
]
FORMS: Final = [
    Form("grouped"),
    Form("grouped", positions=False),
    Form("packed"),
    Form("grouped", "fp16"),
    Form("packed", "fp16", positions=False),
    Form("grouped", "int8"),
    *INT4,
    Form("multihead"),
    Form("multihead", positions=False),
    Form("multihead", "fp16"),
    Form("multihead", "int4", 32, 4),
    Form("multihead", "int4", 128, 4),
    Form("multihead", "int8"),
    Form("decomposed"),
    Form("decomposed", positions=False),
    Form("decomposed", "fp16"),
    Form("decomposed", "int8"),
    *GROWING_INT4,
    Form("decomposed", merged=True),
    Form("decomposed", "int8", merged=True),
    Form("decomposed", "int4", 32, 0, positions=False, merged=True),
    Form("standard"),
    Form("standard", "int4", 64, 4),
]
FEW: Final = {
    Form("grouped"),
    Form("packed", "fp16", positions=False),
    Form("grouped", "int8"),
    Form("packed", "int4", 16, 4),
    Form("grouped", "int4", 32, 1),
    Form("grouped", "int4", 64, 4),
    Form("multihead"),
    Form("multihead", "int4", 32, 4),
    Form("decomposed"),
    Form("decomposed", "fp16"),
    Form("decomposed", "int4", 32, 0),
    Form("decomposed", "int8", merged=True),
    Form("standard"),
}
"""A form of each kernel and each rule: what all tests try. The others are tried in company, and wholly if asked for."""

SOME: Final = [pytest.param(form, marks=[] if form in FEW else pytest.mark.exhaustive, id=str(form)) for form in FORMS]
COMMON: Final = "Once upon a time there was a bell that nobody had rung for a hundred years. "
SCHEMA: Final = {
    "type": "object",
    "properties": {"price": {"type": "integer", "minimum": 1, "maximum": 9}, "agreed": {"type": "boolean"}},
    "required": ["price", "agreed"],
    "additionalProperties": False,
}


def rule(form: Form) -> tuple[str, bool]:
    """How the form is batched, and whether its prompts run in pieces, as docs/models.md says."""
    if form.weights == "int8":
        return "single", False
    even = form.weights == "int4" and (form.accuracy != 4 or form.block > 32)
    if form.attention in ("grouped", "packed"):
        return ("even" if even else "free"), True
    return ("equal-even" if even else "equal"), form.weights != "fp16" and form.attention != "multihead"


def requests() -> list[GenerateRequest]:
    """Prompts of very different and of equal lengths, some with a beginning in common, one with a grammar."""
    prompts = ["a", COMMON + "Tom", COMMON + "Sue", "The dog", "The cat", COMMON * 3, "x" * 70, COMMON + "Ann", "a"]
    found = [request(number, prompt, tokens_max=3 + 2 * (number % 4)) for number, prompt in enumerate(prompts)]
    return [*found, request(len(prompts), "The price is ", tokens_max=30, json_schema=SCHEMA)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("forms")


@pytest.fixture(scope="module")
def expected(folders: Path) -> dict[Form, Outcome]:
    """What each form answers to each request alone, with nothing prefilled before. Filled by `alone`."""
    return {}


@pytest.fixture(params=FORMS, ids=str)
def form(request: pytest.FixtureRequest) -> Form:
    found: Form = request.param
    return found


@pytest.fixture
def model(folders: Path, form: Form) -> Path:
    path = folders / str(form)
    return path if path.is_dir() else write_form(path, form)


@pytest.fixture
def alone(model: Path, form: Form, expected: dict[Form, Outcome]) -> Outcome:
    if form not in expected:
        loaded = load_model(ModelSpec("m", model, "cpu"), EngineOptions(rows_max=1))
        outcome: Outcome = ({}, {})
        for item in requests():
            replies, logits = together(Traced(loaded), [item])
            outcome[0].update(replies)
            outcome[1].update(logits)
        assert all("ok" in json.loads(reply) for reply in outcome[0].values())
        expected[form] = outcome
    return expected[form]


def test_whoever_else_runs_and_whenever_they_come(model: Path, form: Form, alone: Outcome) -> None:
    loaded = load_model(ModelSpec("m", model, "cpu"))
    numeric = loaded.info.numeric
    assert numeric is not None
    assert (numeric.numeric_class, (numeric.batching, numeric.chunked)) == ("batch-invariant", rule(form))
    engine = Traced(loaded)
    assert together(engine, requests()) == alone
    first = engine.statistics()
    assert (first.step_rows > first.steps) == (numeric.batching != "single")
    assert (first.reused_tokens > 0, first.extensions > 0) == (numeric.chunked, numeric.chunked)
    # Again, the other way round, and with what was prefilled before.
    engine.logits = {}
    assert together(engine, reversed(requests())) == alone
    assert (engine.statistics().reused_tokens > 2 * first.reused_tokens) == numeric.chunked
    # One after the other, while others run.
    engine.logits = {}
    replies: dict[int, str] = {}
    for item in requests():
        engine.submit(item)
        for _ in range(3):
            replies |= {event.id: event.body for event in engine.step() if isinstance(event, GenerateReply)}
    assert (replies | drain(engine), engine.logits) == alone


@pytest.mark.parametrize("form", SOME)
@pytest.mark.parametrize("rows_max", [2, 3])
def test_in_batches_of_few(model: Path, alone: Outcome, rows_max: int) -> None:
    loaded = load_model(ModelSpec("m", model, "cpu"), EngineOptions(rows_max=rows_max))
    assert together(Traced(loaded), requests()) == alone


@pytest.mark.parametrize("form", SOME)
def test_in_chunks_of_any_size(model: Path, alone: Outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    for chunk in (3, 32, 61):
        monkeypatch.setattr("turnwise.inference.decoding.decoder.CHUNK_TOKENS", chunk)
        assert together(Traced(load_model(ModelSpec("m", model, "cpu"))), requests()) == alone


@pytest.mark.parametrize("form", SOME)
def test_with_two_threads(model: Path, alone: Outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turnwise.inference.onnx.sessions.SINGLE_THREAD_BYTES_MAX", 0)
    loaded = load_model(ModelSpec("m", model, "cpu"), EngineOptions(threads_max=2))
    assert loaded.info.threads == 2
    assert together(Traced(loaded), requests()) == alone


def test_a_form_that_keeps_its_bits_under_no_rule_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a branch, weights in fp16 are no constants for ONNX Runtime: the number of threads and of rows shows."""
    monkeypatch.setenv("TURNWISE_CACHE", str(tmp_path / "cache"))
    path = write_form(tmp_path / "model", Form("decomposed", "fp16", merged=True))
    numeric = load_model(ModelSpec("m", path, "cpu")).info.numeric
    assert numeric is not None
    assert (numeric.batching, numeric.chunked) == ("single", False)
    assert numeric.numeric_class == "plan-bound"
    assert numeric.checks == {"run = run": True, "1 = 2 threads": False}


def test_in_another_process(folders: Path, tmp_path: Path) -> None:
    """All forms in one process, in which the hash seed is another and nothing was remembered."""
    program = (
        "import json, sys; from pathlib import Path\n"
        "from tests.inference.engine.test_every_form import FORMS, answers\n"
        "print(json.dumps([answers(Path(sys.argv[1]) / str(form), form) for form in FORMS]))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "7", "TURNWISE_CACHE": str(tmp_path)}
    found = subprocess.run(
        [sys.executable, "-c", program, str(folders)], capture_output=True, text=True, check=True, env=environment
    )
    assert json.loads(found.stdout) == [answers(folders / str(form), form) for form in FORMS]


def answers(path: Path, form: Form) -> list[Any]:
    """Replies and hashes of all logits, of all requests together."""
    path = path if path.is_dir() else write_form(path, form)
    replies, logits = together(Traced(load_model(ModelSpec("m", path, "cpu"))), requests())
    return [sorted(map(list, replies.items())), sorted([*key, value] for key, value in logits.items())]


RESTARTED: Final = [
    Form("grouped", "int4", 64, 4),
    Form("multihead"),
    Form("decomposed"),
    Form("decomposed", "int8"),
    Form("decomposed", "int4", 32, 0, positions=False, merged=True),
]


@pytest.mark.parametrize("form", RESTARTED, ids=str)
def test_after_a_restart_of_the_host(model: Path, alone: Outcome) -> None:
    """The process dies with some requests answered and others in the middle."""
    assert asyncio.run(served_by_two(model)) == alone[0]


async def served_by_two(model: Path) -> dict[int, str]:
    """Replies of a host whose process is killed as soon as the first of them are there."""
    replies: dict[int, str] = {}
    failures: list[Exception] = []

    def on_replies(found: list[GenerateReply]) -> None:
        if not replies:
            assert host.pid is not None
            os.kill(host.pid, signal.SIGKILL)
        replies.update((reply.id, reply.body) for reply in found)

    host = InferenceHost([ModelSpec("m", model, "cpu")], on_replies=on_replies, on_failure=failures.append)
    async with host, asyncio.timeout(60):
        host.submit(requests())
        while not failures and (len(replies) < len(requests()) or not host.statistics().restarts):
            await asyncio.sleep(0.005)  # what is waited for is in the condition
    assert not failures
    assert host.statistics().restarts == 1
    return replies
