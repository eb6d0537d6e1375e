"""Tensors as arrays, and arrays as tensors, over the same memory."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from turnwise.inference.requests.tensors import Tensor

_DTYPES: Final = {"bool": np.dtype(np.bool_)}


def array_over(tensor: Tensor) -> NDArray[Any]:
    """Lay an array over a tensor's bytes, wherever they lie: no copy. Arrays of shared memory keep the mapping."""
    flat: NDArray[Any] = np.asarray(memoryview(tensor.data))
    return flat.view(_DTYPES.get(tensor.dtype, np.dtype(tensor.dtype))).reshape(tensor.shape)


def tensor_over(array: NDArray[Any]) -> Tensor:
    """Make a tensor of an array's bytes: no copy where they lie in order."""
    flat: Any = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return Tensor(array.dtype.name, array.shape, memoryview(flat))
