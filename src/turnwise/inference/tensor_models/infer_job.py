"""A request to run a graph on tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from turnwise.inference.requests.parcels import Parcel
from turnwise.inference.requests.tensors import Tensor
from turnwise.inference.tensor_models.graph_model import GraphModel
from turnwise.inference.tensor_models.inputs_outputs import check
from turnwise.inference.tensor_models.row_batching import Arrays
from turnwise.inference.tensor_models.tensor_arrays import array_over, tensor_over


class InferJob:
    """A request to run the graph once. `release` gives the memory of its inputs back."""

    def __init__(self, parcel: Parcel, model: GraphModel, release: Callable[[], None]) -> None:
        """Raises Refusal for tensors that do not fit the graph; `release` is then the caller's."""
        check(model.inputs, model.outputs, parcel.tensors)
        self.number = parcel.id
        self.inputs: Sequence[Arrays] = [{name: array_over(tensor) for name, tensor in parcel.tensors.items()}]
        self._release = release
        self._outputs: dict[str, Tensor] = {}

    def take(self, index: int, outputs: dict[str, NDArray[Any]]) -> None:
        self._outputs = {name: tensor_over(array) for name, array in outputs.items()}

    def answer(self) -> Parcel:
        return Parcel(self.number, "outputs", self._outputs)

    def close(self) -> None:
        self.inputs = ()
        self._release()
