"""Layers that keep a window of tokens alone: beyond it, in batches, in pieces, from kept prompts, and taken back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.inference import toy
from turnwise.errors import ModelError
from turnwise.inference.decoding.decoder import Decoder
from turnwise.inference.decoding.memory_budget import budget
from turnwise.inference.decoding.windowed_kv import WindowedKv, resident
from turnwise.inference.engine.engine import Engine
from turnwise.inference.engine.load import load_model
from turnwise.inference.plans.kv_sizes import window_row_positions
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest

WINDOW = 130
CAPACITY = window_row_positions(WINDOW)
PROMPT = [int(token) for token in np.random.default_rng(7).integers(2, toy.VOCABULARY, 900)]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    configuration = toy.config(16, 2, context_length=2048)
    configuration["model"]["decoder"]["num_hidden_layers"] = 2
    configuration["model"]["decoder"]["sliding_window"] = {"window_size": WINDOW, "layers": [1]}
    folder = tmp_path_factory.mktemp("windowed")
    return toy.write_folder(folder / "m", toy.windowed_graph(WINDOW), configuration=configuration)


def decoder(path: Path, *, kv_window: bool = True) -> Decoder:
    return load_model(ModelSpec("m", path, "cpu", kv_window=kv_window)).decoder


def prefill(model: Decoder, row: int, prompt: list[int]) -> NDArray[Any]:
    """A prompt in its pieces; the logits of its last token."""
    start, found = 0, np.empty(0)
    for size in model.prompts.cut(len(prompt)):
        found = model.prefill(row, prompt[start : start + size], len(prompt))
        start += size
    return found.copy()


def test_a_row_holds_the_window_at_least_and_what_lies_in_it_follows_from_the_length() -> None:
    for tokens in range(1, 2_000):
        held = resident(tokens, CAPACITY, WINDOW)
        assert min(tokens, WINDOW) <= held <= min(tokens, CAPACITY)
    assert resident(CAPACITY, CAPACITY, WINDOW) == CAPACITY
    assert resident(CAPACITY + 1, CAPACITY, WINDOW) == WINDOW


@pytest.mark.parametrize("length", [5, WINDOW, CAPACITY - 1, CAPACITY, CAPACITY + 1, 500, 801])
def test_it_answers_as_whole_rows_do_within_rounding(path: Path, length: int) -> None:
    here, whole = decoder(path), decoder(path, kv_window=False)
    for model in (here, whole):
        model.begin(length + 300)
    found, expected = prefill(here, 0, PROMPT[:length]), prefill(whole, 0, PROMPT[:length])
    for _ in range(290):
        assert np.abs(found - expected).max() < 1e-4
        token = int(expected.argmax())
        found, expected = here.decode([token])[0], whole.decode([token])[0]


def test_the_window_shows(path: Path) -> None:
    """The control: a prompt that differs beyond the reach of both layers only in the whole one's past."""
    here = decoder(path)
    here.begin(900)
    one = prefill(here, 0, PROMPT[:700])
    here.begin(900)
    other = prefill(here, 0, [*PROMPT[100:200], *PROMPT[100:700]])
    assert np.abs(one - other).max() > 1e-4


def run_alone(model: Decoder, prompt: list[int], steps: int) -> list[NDArray[Any]]:
    model.begin(len(prompt) + steps)
    found = [prefill(model, 0, prompt)]
    for _ in range(steps):
        found.append(model.decode([int(found[-1].argmax())])[0].copy())
    return found


def test_rows_together_have_the_bits_that_they_have_alone(path: Path) -> None:
    """Rows of every length about the places where room is made, which they reach at different steps."""
    lengths = [3, WINDOW - 1, CAPACITY - 3, CAPACITY - 1, CAPACITY, CAPACITY + 1, 400, 701]
    model, alone = decoder(path), decoder(path)
    model.begin(64)
    model.reserve(len(lengths), 1200)
    found = [[prefill(model, row, PROMPT[:length])] for row, length in enumerate(lengths)]
    for _ in range(CAPACITY - WINDOW + 10):
        for row, logits in zip(found, model.decode([int(row[-1].argmax()) for row in found]), strict=True):
            row.append(logits.copy())
    for length, row in zip(lengths, found, strict=True):
        expected = run_alone(alone, PROMPT[:length], CAPACITY - WINDOW + 10)
        assert all(np.array_equal(*pair) for pair in zip(row, expected, strict=True)), length


@pytest.mark.parametrize("length", [CAPACITY - 2, CAPACITY - 1, CAPACITY, CAPACITY + 1, 2 * CAPACITY])
def test_a_token_that_is_taken_back_leaves_no_trace(path: Path, length: int) -> None:
    model, alone = decoder(path), decoder(path)
    expected = run_alone(alone, PROMPT[:length], 5)
    model.begin(length + 10)
    found = prefill(model, 0, PROMPT[:length])
    for logits in expected[1:]:
        model.decode([7])
        model.retract(0)
        found = model.decode([int(found.argmax())])[0].copy()
        assert np.array_equal(found, logits)


def test_a_row_that_is_added_to_a_step_leaves_others_as_they_are(path: Path) -> None:
    """Batches of an even number of rows take one that takes no part, whose row is just full."""
    loaded = load_model(ModelSpec("m", path, "cpu", kv_window=True, batching="even"))
    model, alone = loaded.decoder, decoder(path)
    expected = run_alone(alone, PROMPT[:CAPACITY], 1)[1]
    model.begin(CAPACITY + 8)
    model.reserve(2, CAPACITY + 8)
    prefill(model, 0, PROMPT[:40])
    logits = prefill(model, 1, PROMPT[:CAPACITY])
    model.decode([5], [0])
    assert model.held(1) == CAPACITY
    assert np.array_equal(model.decode([5, int(logits.argmax())])[1], expected)


def texts(engine: Engine, prompts: list[str]) -> list[str]:
    for number, prompt in enumerate(prompts):
        body = {"prompt": prompt, "tokens_max": 10 + number, "temperature": 1.3}
        engine.submit(GenerateRequest(number, "m", json.dumps(body), bytes([number]) * 32))
    found: dict[int, str] = {}
    while engine.pending:
        found |= {event.id: event.body for event in engine.step() if isinstance(event, GenerateReply)}
    return [found[number] for number in range(len(prompts))]


def test_many_at_once_answer_as_each_alone_and_take_over_beginnings(path: Path) -> None:
    shared = "abcdefgh" * 70
    prompts = [(shared if number % 3 else "") + "xy" * (1 + 29 * number % 190) for number in range(12)]
    model = load_model(ModelSpec("m", path, "cpu", kv_window=True))
    together = Engine(model)
    found = texts(together, prompts)
    assert together.statistics().reused_tokens > 0
    assert texts(together, prompts) == found, "warm"
    fresh = Engine(load_model(ModelSpec("m", path, "cpu", kv_window=True)))
    for number, prompt in enumerate(prompts):
        body = {"prompt": prompt, "tokens_max": 10 + number, "temperature": 1.3}
        fresh.submit(GenerateRequest(number, "m", json.dumps(body), bytes([number]) * 32))
        replies: list[str] = []
        while fresh.pending:
            replies += [event.body for event in fresh.step() if isinstance(event, GenerateReply)]
        assert replies == [found[number]]


def test_its_class_is_observed_and_it_is_another_model(path: Path) -> None:
    kept, whole = (load_model(ModelSpec("m", path, "cpu", kv_window=chosen)) for chosen in (True, False))
    assert kept.info.sha256 != whole.info.sha256
    assert kept.info.numeric is not None
    assert kept.info.numeric.numeric_class == "batch-invariant"
    assert kept.info.form == "in_place with a window float32"


def test_rows_take_the_memory_of_the_window(path: Path) -> None:
    here, whole = decoder(path), decoder(path, kv_window=False)
    assert isinstance(here._kv, WindowedKv)
    assert here._kv.slab.room == CAPACITY
    assert here.budget.positions_max > whole.budget.positions_max * 1.5


def test_memory_is_divided_between_windows_and_whole_rows() -> None:
    found = budget(
        1_000_000, bytes_per_token=100, context_length=1_000, rows_max=8, cached=False,
        window_bytes_per_token=80, window_row_positions=500,
    )  # fmt: skip
    assert found.rows_max == 8
    assert found.positions_max == (1_000_000 - 8 * 80 * 500) // 20
    little = budget(
        100_000, bytes_per_token=100, context_length=1_000, rows_max=8, cached=False,
        window_bytes_per_token=80, window_row_positions=500,
    )  # fmt: skip
    assert little.rows_max == 2


def test_a_graph_without_such_layers_says_so(tmp_path: Path) -> None:
    folder = toy.write_attention_folder(tmp_path)
    with pytest.raises(ModelError, match="no layer that keeps a window alone"):
        load_model(ModelSpec("m", folder, "cpu", kv_window=True))


def test_a_device_falls_back_to_the_host(path: Path) -> None:
    from tests.inference.fake_device import FakeDevice, open_on_device
    from turnwise.errors import EnvironmentFailure
    from turnwise.inference.folders.model_folder import read_model_folder
    from turnwise.inference.folders.spec_changes import changed_folder

    spec = ModelSpec("m", path, kv_window=True)
    folder = changed_folder(spec, read_model_folder(path)).folder
    opened = open_on_device(
        spec, folder.layout.graph_path, folder.weights_bytes, folder.layout.names.logits, FakeDevice()
    )
    with pytest.raises(EnvironmentFailure, match="kv_window is for models whose cache lies in the host's memory"):
        Decoder(replace(folder), opened)
