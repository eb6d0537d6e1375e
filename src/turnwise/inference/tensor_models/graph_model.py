"""Any ONNX graph, run on named tensors: one row, or several that may share a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from turnwise.inference.onnx.runtime import RUNTIME_ERRORS, Session, is_kernel_refusal, ort
from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.tensor_models.inputs_outputs import tensor_specs
from turnwise.inference.tensor_models.row_batching import Arrays, RowBatching, Shapes


class GraphModel:
    """A loaded graph. Runs are bound to the memory that the arrays lie in: nothing is copied on the way in.

    - `inputs`, `outputs`: of the graph, in its order
    - `batching`: which rows may share a run
    """

    def __init__(self, session: Session, graph_path: Path) -> None:
        self.inputs = tensor_specs(session.get_inputs(), graph_path, "input")
        self.outputs = tensor_specs(session.get_outputs(), graph_path, "output")
        self._session = session
        self.batching = RowBatching(self)

    def bind(self, arrays: Arrays) -> list[Any]:
        """Bind inputs to the arrays' own memory."""
        return [ort.OrtValue.ortvalue_from_numpy(arrays[spec.name]) for spec in self.inputs]

    def run(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        """Run on contiguous arrays. Raises Refusal if the graph does not take them, RUNTIME_ERRORS for others."""
        binding = self._session.io_binding()
        bound = self.bind(arrays)
        for spec, value in zip(self.inputs, bound, strict=True):
            binding.bind_ortvalue_input(spec.name, value)
        for spec in self.outputs:
            binding.bind_output(spec.name, "cpu")
        try:
            self._session.run_with_iobinding(binding)
        except RUNTIME_ERRORS as error:
            if not is_kernel_refusal(error):
                raise
            raise Refusal("refused", "the model's graph cannot process these tensors") from None
        results = [value.numpy() for value in binding.get_outputs()]
        return dict(zip([spec.name for spec in self.outputs], results, strict=True))

    def run_rows(self, rows: Sequence[Arrays]) -> list[dict[str, NDArray[Any]]]:
        """Run as many rows as `batching` allowed; returns for each the outputs that it would get alone."""
        if len(rows) == 1:
            return [self.run(rows[0])]
        joined = {spec.name: np.concatenate([row[spec.name] for row in rows]) for spec in self.inputs}
        found = self.run(joined)
        if any(array.shape[:1] != (len(rows),) for array in found.values()):
            return [self.run(row) for row in rows]
        return [{name: array[i : i + 1] for name, array in found.items()} for i in range(len(rows))]

    def shapes_of(self, arrays: Arrays) -> Shapes:
        return tuple(arrays[spec.name].shape for spec in self.inputs)
