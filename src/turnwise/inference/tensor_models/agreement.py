"""Comparison of a graph on tensors with itself on the CPU: another provider must give the same for random inputs."""

from __future__ import annotations

from typing import Final

import numpy as np

from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.tensor_models.graph_model import GraphModel
from turnwise.inference.tensor_models.inputs_outputs import Dim
from turnwise.inference.tensor_models.row_batching import Arrays, random_arrays

OPEN_SIZES: Final = (1, 8)
"""Sizes with which dimensions without a number are tried; and 8 behind a first of 1, as a row of a batch has it."""

TOLERANCE_FULL: Final = 0.001
TOLERANCE_LESS: Final = 0.05
"""Tolerances, in parts of the largest number: in full precision, and with fp16 or quantised parts."""


def difference(model: GraphModel, reference: GraphModel, tolerance: float) -> str | None:
    """Describe how a model differs from the reference; None if they agree."""
    compared = False
    for first, rest in ((8, 8), (1, 8), *((size, size) for size in OPEN_SIZES)):
        shapes = tuple(_shape(port.dims, first, rest) for port in model.inputs)
        try:
            inputs = random_arrays(model.inputs, shapes, 1)
            wanted = reference.run(inputs)
        except Refusal:
            continue
        try:
            found = model.run(inputs)
        except Refusal:
            return "refuses inputs that the cpu takes"
        compared = True
        if seen := _apart(found, wanted, tolerance):
            return f"answers otherwise than the cpu: {seen}"
    return None if compared else "cannot be compared with the cpu: the graph refuses random inputs"


def _shape(dims: tuple[Dim, ...], first: int, rest: int) -> tuple[int, ...]:
    return tuple(dim if isinstance(dim, int) else rest if place else first for place, dim in enumerate(dims))


def _apart(found: Arrays, wanted: Arrays, tolerance: float) -> str | None:
    for name, reference in wanted.items():
        array = found[name]
        if array.shape != reference.shape:
            return f"{name!r} has shape {array.shape} instead of {reference.shape}"
        if not np.issubdtype(reference.dtype, np.floating):
            if not np.array_equal(array, reference):
                return f"{name!r} has other numbers"
            continue
        ours, theirs = array.astype(np.float64), reference.astype(np.float64)
        usable = np.isfinite(theirs)
        if not np.array_equal(np.isfinite(ours), usable):
            return f"{name!r} is not a number in other places"
        if not usable.any():
            continue
        apart = float(np.abs(ours[usable] - theirs[usable]).max()) / (float(np.abs(theirs[usable]).max()) or 1.0)
        if apart > tolerance:
            return f"{name!r} differs by {apart:.2g} of its largest number, and {tolerance:.2g} may be"
    return None
