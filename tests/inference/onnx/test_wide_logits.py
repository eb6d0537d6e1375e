from __future__ import annotations

import numpy as np
import pytest

from tests.inference import toy
from turnwise.inference.onnx.runtime import ort
from turnwise.inference.onnx.wide_logits import WIDE_LOGITS, with_wide_logits

HALF = 10
IDS = np.array([[3, 1, 2]])


def graph(kind: int) -> bytes:
    """`logits` [batch, new, 4] of type `kind`, a row of a table for each token; and another output of that type."""
    table = np.random.default_rng(3).standard_normal((8, 4)).astype(np.float32)
    made = toy.Graph()
    made.inputs = [toy.value("ids", toy.INT64, ["batch", "new"])]
    made.outputs = [toy.value("other", kind, ["batch", "new", 4]), toy.value("logits", kind, ["batch", "new", 4])]
    made.tensors = [toy.tensor("table", table)]
    made.nodes = [
        toy.node("Gather", ["table", "ids"], ["full"], axis=0),
        toy.node("Cast", ["full"], ["logits"], to=kind),
        toy.node("Identity", ["logits"], ["other"]),
    ]
    return made.model()


def test_the_numbers_are_the_same_in_another_type() -> None:
    model = graph(HALF)
    wide = with_wide_logits(model, "logits")
    assert wide is not None
    session = ort.InferenceSession(wide)
    outputs = {item.name: (item.type, item.shape) for item in session.get_outputs()}
    assert outputs == {
        "other": ("tensor(float16)", ["batch", "new", 4]),
        WIDE_LOGITS: ("tensor(float)", ["batch", "new", 4]),
    }
    (half,) = ort.InferenceSession(model).run(["logits"], {"ids": IDS})
    (found,) = session.run([WIDE_LOGITS], {"ids": IDS})
    assert half.dtype == np.float16
    assert np.array_equal(found, half.astype(np.float32))


@pytest.mark.parametrize(
    "model", [graph(toy.FLOAT), b"", graph(HALF)[:-9], b"\xff" * 20], ids=["fp32", "empty", "cut off", "no model"]
)
def test_what_is_not_in_fp16_or_not_readable_stays(model: bytes) -> None:
    assert with_wide_logits(model, "logits") is None


def test_an_output_of_another_name_stays() -> None:
    assert with_wide_logits(graph(HALF), "scores") is None
