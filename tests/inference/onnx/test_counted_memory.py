"""The bound of memory of graphs on tensors: what fits does not depend on what ran before."""

from __future__ import annotations

import ast
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.inference import graphs, toy
from turnwise.inference.onnx.counted_memory import MemoryRefused, counted_memory
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.tensor_models.graph_model import GraphModel
from turnwise.inference.tensor_models.load import load_graph

ONE = np.ones(1, np.float32)


def expanding(path: Path, doublings: int) -> GraphModel:
    """`y` is the sum of `x`, expanded to `shape` and doubled in length; only `y` is small."""
    graph = toy.Graph(
        inputs=[toy.value("x", toy.FLOAT, [1]), toy.value("shape", toy.INT64, ["rank"])],
        outputs=[toy.value("y", toy.FLOAT, [])],
        nodes=[toy.node("Expand", ["x", "shape"], ["e0"])],
    )
    for number in range(doublings):
        graph.nodes.append(toy.node("Concat", [f"e{number}"] * 2, [f"e{number + 1}"], axis=0))
    graph.nodes.append(toy.node("ReduceSum", [f"e{doublings}"], ["y"], keepdims=0))
    return load_graph(ModelSpec("m", graphs.write_graph(path, graph), "cpu")).model


def fits(model: GraphModel, *shape: int) -> bool:
    try:
        model.run({"x": ONE, "shape": np.array(shape, np.int64)})
    except MemoryRefused:
        return False
    return True


SMALL = """
import random, sys
from pathlib import Path
from turnwise.inference.onnx import counted_memory
counted_memory.BYTES_MAX, counted_memory.FIRST_BYTES = 64 << 20, 1 << 20
from tests.inference.onnx.test_counted_memory import expanding, fits
models = [expanding(Path(sys.argv[1]) / f"{count}.onnx", count) for count in (0, 1, 3)]
found = set()
for seed in range(4):
    chance, limits = random.Random(seed), []
    for model in models:
        low, high = 1, 1 << 24
        while high - low > 1:
            for _ in range(chance.randint(0, seed)):
                fits(chance.choice(models), 2 ** chance.randint(0, 23))
            middle = (low + high) // 2
            low, high = (middle, high) if fits(model, middle) else (low, middle)
        limits.append(low)
    found.add(tuple(limits))
print(found)
"""


def test_what_fits_does_not_depend_on_what_ran_before(tmp_path: Path) -> None:
    """In a process of its own, where the bound is small: the largest that fits, among runs of all sizes."""
    command = [sys.executable, "-c", SMALL, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
    found = ast.literal_eval(done.stdout)
    assert len(found) == 1
    ((whole, doubled, eightfold),) = found
    assert (64 << 20) / 4 > whole > doubled > eightfold > 1 << 18


def test_a_refusal_names_the_bound_and_takes_no_memory(tmp_path: Path) -> None:
    model = expanding(tmp_path / "g.onnx", 0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(Refusal) as caught:
        model.run({"x": ONE, "shape": np.array([400_000, 1_000_000], np.int64)})
    assert caught.value.message == "the model's graph needs more than 4,294,967,296 bytes of memory for these tensors"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024
    assert fits(model, 10)
    assert not fits(model, 1 << 32)


def test_clearing_twice_is_harmless() -> None:
    counted_memory().clear()
    counted_memory().clear()
    assert counted_memory() is counted_memory()
