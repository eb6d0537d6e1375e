from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.inference import toy
from turnwise.inference.engine.load import load_model
from turnwise.inference.onnx import sessions
from turnwise.inference.onnx.gather_logits import POSITIONS_INPUT, with_positions
from turnwise.inference.plans.model_spec import ModelSpec

STORIES = ["genai-fp32", "genai-int4", "genai-int4-acc1", "genai-mha-fp32"]
PROMPT = [1, *range(3, 99)]


def test_the_graph_asks_which_positions_are_wanted() -> None:
    rewritten = with_positions(toy.attention_graph().model(), "logits")
    assert rewritten is not None
    session = ort.InferenceSession(rewritten, providers=["CPUExecutionProvider"])
    inputs = {item.name: item.shape for item in session.get_inputs()}
    assert inputs[POSITIONS_INPUT] == [POSITIONS_INPUT]
    assert session.get_outputs()[0].shape == ["batch", POSITIONS_INPUT, toy.VOCABULARY]


@pytest.mark.parametrize("layout", STORIES)
def test_the_bits_stay(in_layout: Callable[[str], Path], layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = ModelSpec("m", in_layout(layout), "cpu")
    found = []
    for rewrites in (True, False):
        if not rewrites:
            monkeypatch.setattr(sessions, "with_positions", lambda model, logits: None)
        decoder = load_model(spec).decoder
        inputs = [item.name for item in decoder._steps._binding._session.get_inputs()]
        assert (POSITIONS_INPUT in inputs) == rewrites
        decoder.begin(200)
        rows = [decoder.run(PROMPT).copy()]
        for _ in range(20):
            rows.append(decoder.run([int(rows[-1].argmax())]).copy())
        found.append(np.array(rows))
    assert np.array_equal(found[0], found[1])


def test_what_follows_the_head_number_by_number_is_passed() -> None:
    graph = toy.attention_graph()
    graph.nodes[-1:] = [
        toy.node("Add", ["scores", "bias"], ["biased"]),
        toy.node("Tanh", ["biased"], ["capped"]),
        toy.node("Mul", ["capped", "scale"], ["logits"]),
    ]
    graph.tensors.append(toy.tensor("scale", np.array([30], np.float32)))
    rewritten = with_positions(graph.model(), "logits")
    assert rewritten is not None
    ort.InferenceSession(rewritten, providers=["CPUExecutionProvider"])


def test_a_head_that_is_not_understood_is_left_alone() -> None:
    graph = toy.attention_graph()
    model = graph.model()
    assert with_positions(model, "scores") is None, "no output"
    assert with_positions(toy.bigram_graph(toy.chain_table(b"ab")).model(), "logits") is None, "no product"
    graph.outputs.append(toy.value("scores", toy.FLOAT, ["batch", "sequence", toy.VOCABULARY]))
    assert with_positions(graph.model(), "logits") is None, "somebody else reads the head"
    assert with_positions(b"", "logits") is None
    assert with_positions(b"not a model", "logits") is None


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 4000), st.integers(0, 255))
def test_damaged_graphs_are_rewritten_or_left_alone(place: int, byte: int) -> None:
    model = bytearray(toy.attention_graph(hidden=2, heads=1, kv_heads=1, head_size=8).model())
    model[-1 - place % len(model)] = byte
    rewritten = with_positions(bytes(model), "logits")
    assert rewritten is None or len(rewritten) > len(model)


def test_as_if_it_had_been_cut_off_anywhere() -> None:
    model = toy.attention_graph(hidden=2, heads=1, kv_heads=1, head_size=8).model()
    for size in range(0, len(model), 97):
        assert with_positions(model[:size], "logits") is None
