"""Batching of rows: shapes that may share a run, found by trying random rows alone and together.

That rows of the same shapes share a run is allowed where each then gets the bits that it gets alone. This is observed,
not believed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.requests.tensors import INPUT_BYTES_MAX
from turnwise.inference.tensor_models.inputs_outputs import TensorSpec, batch_symbol

Arrays = Mapping[str, NDArray[Any]]
Shapes = tuple[tuple[int, ...], ...]

BATCH_SIZES: Final = (16, 8, 4, 2)
"""Numbers of rows that run together: the sizes that are tried."""
ROWS_SEEN_MIN: Final = 32
"""Shapes that the graph leaves open are tried after so many rows of them, since a trial costs about 46 rows."""
SHAPES_COUNT_MAX: Final = 256


class RowRunner(Protocol):
    """A graph that can be run."""

    @property
    def inputs(self) -> Sequence[TensorSpec]: ...

    @property
    def outputs(self) -> Sequence[TensorSpec]: ...

    def run(self, arrays: Arrays) -> dict[str, NDArray[Any]]: ...

    def run_rows(self, rows: Sequence[Arrays]) -> list[dict[str, NDArray[Any]]]: ...


class RowBatching:
    """Shapes of rows that may share a run, and those that may not.

    - `found`: what is known on loading: `rows batched`, `rows singly`, or `rows tried` later, where shapes are open
    """

    def __init__(self, model: RowRunner) -> None:
        self._model = model
        self._equal: dict[Shapes, bool] = {}
        self._seen: dict[Shapes, int] = {}
        self._symbol = batch_symbol(model.inputs, model.outputs)
        self.found = "rows singly"
        if self._symbol is not None:
            fixed = all(isinstance(dim, int) for spec in model.inputs for dim in spec.dims[1:])
            self.found = "rows tried"
            if fixed:
                shapes = tuple((1, *[dim for dim in spec.dims[1:] if isinstance(dim, int)]) for spec in model.inputs)
                self._equal[shapes] = self._try(shapes)
                self.found = "rows batched" if self._equal[shapes] else "rows singly"

    def batch_size(self, shapes: Shapes, waiting: int) -> int:
        """Number of `waiting` rows of these shapes that may share a run with equal bits; at least 1."""
        if self._symbol is None or any(shape[:1] != (1,) for shape in shapes):
            return 1
        equal = self._equal.get(shapes)
        if equal is None and len(self._equal) < SHAPES_COUNT_MAX:
            seen = self._seen[shapes] = self._seen.get(shapes, 0) + 1
            if len(self._seen) > 8 * SHAPES_COUNT_MAX:
                self._seen.clear()
            if seen >= ROWS_SEEN_MIN:
                equal = self._equal[shapes] = self._try(shapes)
        if not equal:
            return 1
        return next((size for size in BATCH_SIZES if size <= waiting), 1)

    def equal(self, shapes: Shapes) -> bool | None:
        """Return True if rows of these shapes get the same bits together as alone; None where no run can be shared."""
        if self._symbol is None:
            return None
        if shapes not in self._equal:
            self._equal[shapes] = self._try(shapes)
        return self._equal[shapes]

    def _try(self, shapes: Shapes) -> bool:
        model = self._model
        try:
            rows = [random_arrays(model.inputs, shapes, number) for number in range(BATCH_SIZES[0])]
            alone = [model.run(row) for row in rows]
            return all(self._equal_in(rows, alone, size) for size in BATCH_SIZES)
        except Refusal:
            return False

    def _equal_in(self, rows: Sequence[Arrays], alone: Sequence[Arrays], size: int) -> bool:
        """Return True if all rows, run in batches of this size, get what they got alone."""
        for start in range(0, len(rows), size):
            found = self._model.run_rows(rows[start : start + size])
            if not all(_same(one, other) for one, other in zip(alone[start : start + size], found, strict=True)):
                return False
        return True


def random_arrays(specs: Sequence[TensorSpec], shapes: Shapes, number: int) -> dict[str, NDArray[Any]]:
    """Make random inputs of these shapes, always the same for a number; the size of what they hold differs too.

    Raises Refusal for shapes that no request can have: those of a graph are not trusted.
    """
    size = sum(prod(shape) * np.dtype(spec.dtype).itemsize for spec, shape in zip(specs, shapes, strict=True))
    if size > INPUT_BYTES_MAX:
        raise Refusal("refused", f"the inputs have {size:,} bytes in all, at most {INPUT_BYTES_MAX:,} are allowed")
    random = np.random.default_rng(number)
    scale = 10.0 ** (number % 3 - 1)
    return {spec.name: _random(spec, shape, random, scale) for spec, shape in zip(specs, shapes, strict=True)}


def _random(spec: TensorSpec, shape: tuple[int, ...], random: np.random.Generator, scale: float) -> NDArray[Any]:
    if spec.dtype.startswith("float"):
        return (random.standard_normal(shape) * scale).astype(spec.dtype)
    return random.integers(0, 2, shape).astype(spec.dtype)  # small, since they may be indices


def _same(one: Arrays, other: Arrays) -> bool:
    return all(
        array.shape == other[name].shape and array.tobytes() == other[name].tobytes() for name, array in one.items()
    )
