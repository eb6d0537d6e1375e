"""The decoder and the engine on a device: the same bits as on the CPU, whose kernels the fake device uses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.inference import toy
from tests.inference.fake_device import FakeDevice, open_on_device
from turnwise.errors import EnvironmentFailure
from turnwise.inference.decoding.decoder import Decoder
from turnwise.inference.engine.engine import Engine
from turnwise.inference.engine.language_model import LanguageModel
from turnwise.inference.engine.load import load_model
from turnwise.inference.engine.scheduler import chunk_end
from turnwise.inference.folders.model_folder import read_model_folder
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest

PROMPT = [int(token) for token in np.random.default_rng(5).integers(2, toy.VOCABULARY, 300)]


def on_device(path: Path, device: FakeDevice, options: EngineOptions | None = None, *, whole: bool = False) -> Decoder:
    folder = read_model_folder(path)
    logits = None if whole else folder.layout.names.logits
    opened = open_on_device(ModelSpec("m", path), folder.layout.graph_path, folder.weights_bytes, logits, device)
    return Decoder(folder, opened, options)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return toy.write_attention_folder(tmp_path)


def run(model: Decoder, prompt: list[int], cuts: list[int], steps: int) -> NDArray[Any]:
    model.begin(len(prompt) + steps)
    start = 0
    for size in cuts:
        row = model.prefill(0, prompt[start : start + size], len(prompt))
        start += size
    found = [row.copy()]
    for _ in range(steps):
        found.append(model.decode([int(found[-1].argmax())])[0].copy())
    return np.array(found)


@pytest.mark.parametrize("whole", [False, True], ids=["wanted positions", "all positions"])
def test_a_sequence_has_the_bits_that_it_has_on_the_host(path: Path, whole: bool) -> None:
    device = FakeDevice()
    here = load_model(ModelSpec("m", path, "cpu")).decoder
    there = on_device(path, device, whole=whole)
    for cuts in ([300], [128, 128, 44]):
        assert np.array_equal(run(there, PROMPT, cuts, 9), run(here, PROMPT, cuts, 9))


def test_steps_have_the_rows_that_the_device_needs(path: Path) -> None:
    """10 of 12 multiprocessors are enough, and the graph has 2 heads of KV: so 5 rows, 4 of them nobody's."""
    device = FakeDevice(multiprocessors=12)
    model = on_device(path, device)
    model.begin(100)
    model.prefill(0, PROMPT[:20])
    assert model.decode([7])[0].shape == (toy.VOCABULARY,)
    assert model._steps.tokens.shape == (5, 1)
    assert model.budget.rows_spare == 4


def test_what_is_reused_begins_and_ends_with_whole_pieces(path: Path) -> None:
    model = on_device(path, FakeDevice())
    assert [model.prompts.reusable(tokens) for tokens in (255, 256, 600)] == [0, 256, 512]
    assert [model.prompts.keepable(tokens) for tokens in (255, 256, 257, 258, 512, 513, 514)] == [
        0,
        256,
        0,
        256,
        512,
        256,
        512,
    ]
    for tokens in (1, 2, 255, 256, 257, 258, 511, 512, 513, 514, 1025):
        start, cut = 0, []
        while start < tokens:
            cut.append(chunk_end(start, tokens, 256) - start)
            start += cut[-1]
        assert model.prompts.cut(tokens) == cut, "as the scheduler cuts them"


def test_the_width_of_a_prompt_is_a_function_of_its_length(tmp_path: Path) -> None:
    model = on_device(toy.write_attention_folder(tmp_path), FakeDevice())
    assert [model.prompts.width(tokens) for tokens in (1, 500, 512)] == [512, 512, 512]
    assert load_model(ModelSpec("m", tmp_path, "cpu")).decoder.prompts.width(500) == 0


def loaded(path: Path, device: FakeDevice) -> LanguageModel:
    model = load_model(ModelSpec("m", path, "cpu"))
    return replace(model, decoder=on_device(path, device))


def texts(engine: Engine, requests: list[dict[str, object]]) -> list[str]:
    for number, body in enumerate(requests):
        engine.submit(GenerateRequest(number, "m", json.dumps(body), bytes([number]) * 32))
    found: dict[int, str] = {}
    while engine.pending:
        found |= {event.id: event.body for event in engine.step() if isinstance(event, GenerateReply)}
    return [found[number] for number in range(len(requests))]


def test_many_at_once_answer_as_on_the_host(path: Path) -> None:
    """Rows that grow, move and end at different times, and prompts that share their beginnings."""
    shared = "x" * 280
    requests: list[dict[str, object]] = [
        {
            "prompt": (shared if number % 2 else "") + "ab" * (1 + 7 * number % 40) + str(number),
            "tokens_max": 3 + 5 * number % 30,
            "temperature": 1.5,
        }
        for number in range(14)
    ]
    here, there = Engine(load_model(ModelSpec("m", path, "cpu"))), Engine(loaded(path, FakeDevice()))
    assert texts(there, requests) == texts(here, requests)
    assert there.statistics().reused_tokens > 0
    assert there.statistics().step_rows > there.statistics().steps
    again = texts(there, requests)
    assert again == texts(here, requests), "and from a warm cache"


def test_too_little_memory_is_said(path: Path) -> None:
    model = on_device(path, device := FakeDevice(memory_bytes=64 << 20))
    device._memory_bytes = 0
    with pytest.raises(EnvironmentFailure, match="no memory left"):
        model.begin(100)
