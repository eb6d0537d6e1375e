from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np

from tests.inference import graphs
from tests.inference.tensor_models.asking import ask, load, parcel
from turnwise.inference.requests.parcels import pack, unpack
from turnwise.inference.tensor_models.tensor_arrays import array_over


def test_nan_and_infinities_are_bytes_like_others(tmp_path: Path) -> None:
    model = load(tmp_path, graphs.divide_graph())
    found = ask(model, parcel(1, a=np.array([0, 1, -1, 3], np.float32), b=np.array([0, 0, 0, 2], np.float32)))[1]
    assert isinstance(found, dict)
    assert np.isnan(found["y"][0])
    assert found["y"][1:].tolist() == [np.inf, -np.inf, 1.5]


def test_inputs_are_bound_where_the_message_lies(tmp_path: Path) -> None:
    model = load(tmp_path, graphs.dense_graph())
    message = b"".join(pack([parcel(1, x=np.arange(16, dtype=np.float32).reshape(2, 8))]))
    with mmap.mmap(-1, 1 << 16) as memory:
        memory[: len(message)] = message
        view = memoryview(memory).toreadonly()
        (found,) = unpack(view[: len(message)])
        arrays = {name: array_over(item) for name, item in found.tensors.items()}
        (bound,) = model.bind(arrays)
        start = np.asarray(view).ctypes.data
        assert bound.data_ptr() == start + message.index(np.arange(16, dtype=np.float32).tobytes())
        assert model.run(arrays)["y"].shape == (2, 4)
        del found, arrays, bound
        view.release()
