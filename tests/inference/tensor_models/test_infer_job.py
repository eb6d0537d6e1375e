from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.inference import graphs
from tests.inference.tensor_models.asking import ask, load, parcel


def test_outputs_are_bounded(tmp_path: Path) -> None:
    model = load(tmp_path, graphs.growing_graph())
    found = ask(model, parcel(1, shape=np.array([5 << 20])), parcel(2, shape=np.array([3])))
    assert "the outputs have 20,971,520 bytes in all, at most 16,777,216 are allowed" in str(found[1])
    assert found[2]["y"].tolist() == [1, 1, 1]  # type: ignore[index, union-attr]
