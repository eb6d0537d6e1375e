"""Recorded steps on a fake device, whose session runs again what was bound when it recorded."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.inference import toy
from tests.inference.fake_device import FakeBinding, FakeDevice, FakeSession, open_on_device
from turnwise.inference.decoding import decoder as decoders
from turnwise.inference.decoding.decoder import Decoder
from turnwise.inference.decoding.numeric_class import cannot_record
from turnwise.inference.decoding.recorded_runs import RECORDINGS_MAX, RecordedRuns
from turnwise.inference.engine.engine import Engine
from turnwise.inference.engine.load import load_model
from turnwise.inference.folders.model_folder import read_model_folder
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest

PROMPT = [int(token) for token in np.random.default_rng(7).integers(2, toy.VOCABULARY, 40)]


def steps_of(model: Decoder) -> RecordedRuns:
    assert model.recorded is not None
    return model.recorded


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return toy.write_attention_folder(tmp_path)


def recording(
    path: Path, after: int = 1, multiprocessors: int = 4, reproducible: bool = True
) -> tuple[Decoder, FakeSession]:
    folder = read_model_folder(path)
    device = FakeDevice(multiprocessors)
    graph, logits = folder.layout.graph_path, folder.layout.names.logits
    spec = ModelSpec("m", path, reproducible=reproducible)
    opened = open_on_device(spec, graph, folder.weights_bytes, logits, device, records=True)
    return Decoder(folder, opened, recorded_after=after), opened.session


def answers(model: Decoder, steps: int, rows: int = 1) -> list[NDArray[Any]]:
    """Logits of greedy steps of rows whose prompts have different lengths."""
    model.begin(len(PROMPT) + steps)
    model.reserve(rows, len(PROMPT) + steps)
    tokens = [int(model.prefill(row, PROMPT[: 5 + 4 * row]).argmax()) for row in range(rows)]
    found = []
    for _ in range(steps):
        logits = np.array(model.decode(tokens))
        tokens = [int(row.argmax()) for row in logits]
        found.append(logits)
    return found


@pytest.mark.parametrize("rows", [1, 3, 8])
def test_recorded_runs_have_the_bits_of_their_kernels(path: Path, rows: int) -> None:
    expected = answers(load_model(ModelSpec("m", path, "cpu")).decoder, 12, rows)
    model, session = recording(path, after=2)
    assert all(np.array_equal(*pair) for pair in zip(answers(model, 12, rows), expected, strict=True))
    assert steps_of(model).refused is None
    steps = 12 - 3 - 1
    prompts = max(0, rows - 3 - 1)
    assert steps_of(model).replays == steps + prompts, "two are counted, one is recorded, one is compared"
    assert len(session.recorded) == 1 + (rows > 2), "all prompts share one"


def test_a_recording_is_for_one_shape(path: Path) -> None:
    """Rows up to the least number share one, and so do lengths up to the next width."""
    model, session = recording(path, after=0, multiprocessors=20)
    of_prompts = 1
    for rows in (1, 2, 5, 8):
        answers(model, 3, rows)
    assert model._steps.tokens.shape[0] == 8
    assert len(session.recorded) == 1 + of_prompts
    answers(model, 3, 9)
    assert model._steps.tokens.shape[0] == 16
    assert model._steps._mask_shape[1] == min(
        decoders.RECORDED_WIDTH_MIN, model._memory.rows.room if model._memory.rows else 0
    )
    assert steps_of(model).refused is None


def spoil(binding: FakeBinding) -> None:
    binding.logits[0] += 1


def test_a_recording_with_other_bits_is_not_used(path: Path) -> None:
    """The control: what a recording answers is compared, and the answer is that of the kernels."""
    expected = answers(load_model(ModelSpec("m", path, "cpu")).decoder, 6)
    model, session = recording(path, after=1)
    session.spoil_replay = spoil
    assert all(np.array_equal(*pair) for pair in zip(answers(model, 6), expected, strict=True))
    assert steps_of(model).refused == "a recorded run has other bits than its kernels"
    assert steps_of(model).replays == 0


def test_a_recording_that_does_not_see_new_tokens_is_not_used(path: Path) -> None:
    """The control of the second comparison: inputs that were copied when they were bound."""
    expected = answers(load_model(ModelSpec("m", path, "cpu")).decoder, 6)
    model, session = recording(path, after=1)

    kept: dict[int, NDArray[Any]] = {}

    def stale(binding: FakeBinding) -> None:
        binding.logits[:] = kept.setdefault(id(binding), binding.logits.copy())

    session.spoil_replay = stale
    assert all(np.array_equal(*pair) for pair in zip(answers(model, 6), expected, strict=True))
    assert steps_of(model).refused == "what was recorded before has other bits than its kernels"
    assert steps_of(model).replays == 0


def test_where_equal_bits_are_given_up_logits_may_differ_a_little(path: Path) -> None:
    """Kernels that differ from themselves are no reason against a recording; a recording that is wrong is."""
    for factor, refused in ((1e-5, None), (0.1, "a recorded run has other logits than its kernels")):
        model, session = recording(path, after=1, reproducible=False)
        session.spoil_replay = lambda binding, factor=factor: binding.logits.__imul__(1 + factor)
        answers(model, 6)
        assert steps_of(model).refused == refused


def test_a_step_that_cannot_be_recorded_runs_by_its_kernels(path: Path) -> None:
    expected = answers(load_model(ModelSpec("m", path, "cpu")).decoder, 6)
    model, session = recording(path, after=1)
    session.records = True

    def fails(binding: FakeBinding) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    session.spoil_replay = fails
    assert all(np.array_equal(*pair) for pair in zip(answers(model, 6), expected, strict=True))
    assert "operation not permitted" in (steps_of(model).refused or "")


def test_without_memory_for_a_recording_steps_run_by_their_kernels(path: Path) -> None:
    expected = answers(load_model(ModelSpec("m", path, "cpu")).decoder, 6)
    model, session = recording(path, after=3)
    model.begin(len(PROMPT) + 6)
    tokens = [int(model.prefill(0, PROMPT[:5]).argmax())]
    model.decode(tokens)
    model.retract(0)
    session._device._memory_bytes = 0
    found = []
    for _ in range(6):
        found.append(np.array(model.decode(tokens)))
        tokens = [int(found[-1][0].argmax())]
    assert all(np.array_equal(*pair) for pair in zip(found, expected, strict=True))
    assert steps_of(model).refused == "its runs cannot be recorded: the device has no memory left"


def test_recordings_are_few_and_given_back(path: Path) -> None:
    model, session = recording(path, after=0)
    model.begin(len(PROMPT) + 200)
    model.prefill(0, PROMPT)
    for _ in range(RECORDINGS_MAX + 9):
        model._kv.version += 1  # type: ignore[misc]
        model.decode([3])
        model.decode([4])
    assert len(session.recorded) == RECORDINGS_MAX, "the prompt's has gone: it was used longest ago"
    del model
    assert not session.recorded


def test_whether_a_session_records_is_tried_when_a_model_is_loaded(path: Path) -> None:
    folder = read_model_folder(path)
    graph, logits = folder.layout.graph_path, folder.layout.names.logits

    def opened() -> Any:
        return open_on_device(ModelSpec("m", path), graph, folder.weights_bytes, logits, FakeDevice(), records=True)

    assert cannot_record(folder, opened()) is None
    spoilt = opened()
    spoilt.session.spoil_replay = spoil
    assert cannot_record(folder, spoilt) == "a recorded run has other bits than its kernels"


def test_pieces_of_prompts_have_the_bits_of_their_kernels(path: Path) -> None:
    """All are filled up to one size, in memory beside the rows, whatever their row and their past."""
    here = load_model(ModelSpec("m", path, "cpu")).decoder
    model, _ = recording(path, after=1)
    prompt = [int(token) for token in np.random.default_rng(8).integers(2, toy.VOCABULARY, 500)]
    for length in (3, 255, 256, 258, 400, 500):
        found = []
        for one in (here, model):
            one.begin(505)
            one.reserve(3, 505)
            for row in range(3):
                start = 0
                for piece in model.prompts.cut(length):
                    logits = one.prefill(row, prompt[start : start + piece], length)
                    start += piece
            found.append([logits.copy(), *(row.copy() for row in one.decode([3, 4, 5]))])
        assert all(np.array_equal(*pair) for pair in zip(*found, strict=True)), length
    assert steps_of(model).refused is None
    assert steps_of(model).replays > 20
    assert model._beside is not None
    assert model._beside.widths == {512}


def test_where_widths_do_not_show_pieces_are_run_as_they_come(path: Path) -> None:
    """Equal bits are given up, so none is filled, and one of the size of whole ones has no width of its own."""
    model, _ = recording(path, after=0, reproducible=False)
    model.prompts = replace(model.prompts, size=16)
    model.begin(100)
    model.prefill(0, PROMPT[:16], 40)
    assert model.prefill(0, PROMPT[16:], 40).shape == (toy.VOCABULARY,)
    assert model._beside is None


def test_many_at_once_answer_as_on_the_host(path: Path) -> None:
    """Rows that come, move and end at different times, and a cache whose rows grow."""
    requests: list[dict[str, object]] = [
        {
            "prompt": "x" * (280 if number % 3 == 1 else 0) + "ab" * (1 + 7 * number % 40) + str(number),
            "tokens_max": 3 + 5 * number % 30,
            "temperature": 1.5,
        }
        for number in range(14)
    ]

    def texts(engine: Engine) -> list[str]:
        for number, body in enumerate(requests):
            engine.submit(GenerateRequest(number, "m", json.dumps(body), bytes([number]) * 32))
        found: dict[int, str] = {}
        while engine.pending:
            found |= {event.id: event.body for event in engine.step() if isinstance(event, GenerateReply)}
        return [found[number] for number in range(len(requests))]

    here = load_model(ModelSpec("m", path, "cpu"))
    model, _ = recording(path, after=2)
    there = replace(here, decoder=model)
    assert texts(Engine(there)) == texts(Engine(here))
    assert steps_of(model).replays > 0
    assert steps_of(model).refused is None


def test_recordings_survive_what_was_forgotten(path: Path) -> None:
    """On a device the rows stay where they are, so an engine that begins anew records nothing again."""
    model, session = recording(path, after=0)
    expected = answers(model, 5)
    made = set(session.recorded)
    for _ in range(3):
        model.reset(10_000)
        assert all(np.array_equal(*pair) for pair in zip(answers(model, 5), expected, strict=True))
    assert set(session.recorded) == made
