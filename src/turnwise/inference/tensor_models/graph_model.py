"""Any ONNX graph, run on named tensors: one row, or several that may share a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from turnwise.inference.onnx.counted_memory import MemoryRefused, counted_memory, is_full
from turnwise.inference.onnx.runtime import RUNTIME_ERRORS, Session, is_kernel_refusal, ort
from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.tensor_models.inputs_outputs import check_output_bytes, tensor_specs
from turnwise.inference.tensor_models.row_batching import Arrays, RowBatching, Shapes
from turnwise.inference.tensor_models.work_bound import WorkBound


class GraphModel:
    """A loaded graph. Runs are bound to the memory that the arrays lie in: nothing is copied on the way in.

    - `inputs`, `outputs`: of the graph, in its order
    - `batching`: which rows may share a run
    """

    def __init__(
        self,
        session: Session,
        graph_path: Path,
        output_bytes_max: int | None = None,
        work: WorkBound | None = None,
    ) -> None:
        """`output_bytes_max`: larger outputs of a row are refused, and not even looked at; `work` bounds each run."""
        self.inputs = tensor_specs(session.get_inputs(), graph_path, "input")
        self.outputs = tensor_specs(session.get_outputs(), graph_path, "output")
        self._session = session
        self._output_bytes_max = output_bytes_max
        self._work = work
        self.batching = RowBatching(self)

    def bind(self, arrays: Arrays) -> list[Any]:
        """Bind inputs to the arrays' own memory."""
        return [ort.OrtValue.ortvalue_from_numpy(arrays[spec.name]) for spec in self.inputs]

    def run(self, arrays: Arrays, rows: int = 1) -> dict[str, NDArray[Any]]:
        """Run the graph once on contiguous arrays, which hold so many rows.

        Raises Refusal if the operators do not take them, or need more memory or multiplications than are allowed;
        RUNTIME_ERRORS are the machine's.
        """
        if self._work is not None:
            self._work.check(self._named_shapes(arrays), rows)
        counted_memory().clear()
        binding = self._session.io_binding()
        bound = self.bind(arrays)
        for spec, value in zip(self.inputs, bound, strict=True):
            binding.bind_ortvalue_input(spec.name, value)
        for spec in self.outputs:
            binding.bind_output(spec.name, "cpu")
        try:
            self._session.run_with_iobinding(binding)
        except RUNTIME_ERRORS as error:
            if is_full(error):
                raise MemoryRefused from None
            if not is_kernel_refusal(error):
                raise
            raise Refusal("refused", "the model's graph cannot process these tensors") from None
        results = binding.get_outputs()
        if self._output_bytes_max is not None:
            shapes = [value.shape() for value in results]
            check_output_bytes(self.outputs, shapes, self._output_bytes_max * rows)
        # Copies: nothing of this run stays in the memory that the next one is counted by.
        return {spec.name: value.numpy().copy() for spec, value in zip(self.outputs, results, strict=True)}

    def run_rows(self, rows: Sequence[Arrays]) -> list[dict[str, NDArray[Any]]]:
        """Run as many rows as `batching` allowed; returns for each the outputs that it would get alone."""
        if len(rows) == 1:
            return [self.run(rows[0])]
        if self._work is not None:  # what is refused alone is refused whatever it runs with
            self._work.check(self._named_shapes(rows[0]))
        joined = {spec.name: np.concatenate([row[spec.name] for row in rows]) for spec in self.inputs}
        found = self.run(joined, len(rows))
        if any(array.shape[:1] != (len(rows),) for array in found.values()):
            return [self.run(row) for row in rows]
        return [{name: array[i : i + 1] for name, array in found.items()} for i in range(len(rows))]

    def watch(self, told: Callable[[int], None]) -> None:
        """Call `told` with the number of multiplications before each run, if they are counted."""
        if self._work is not None:
            self._work.watch(told)

    def _named_shapes(self, arrays: Arrays) -> tuple[tuple[str, tuple[int, ...]], ...]:
        return tuple([(spec.name, arrays[spec.name].shape) for spec in self.inputs])

    def shapes_of(self, arrays: Arrays) -> Shapes:
        return tuple(arrays[spec.name].shape for spec in self.inputs)
