from __future__ import annotations

import pytest

from turnwise.inference.onnx.graph_facts import Graph, Quantised
from turnwise.inference.plans.batching import Batching, batching_of


@pytest.mark.parametrize(
    ("forms", "batching"),
    [
        ([], "free"),
        ([Quantised(4, 16, 4), Quantised(4, 32, 4)], "free"),
        ([Quantised(4, 64, 4)], "even"),
        ([Quantised(4, 32, 4), Quantised(4, 32, 0)], "even"),
        ([Quantised(4, 16, 1)], "even"),
    ],
)
def test_the_form_of_the_weights_decides(forms: list[Quantised], batching: Batching) -> None:
    assert batching_of(Graph(quantised=dict.fromkeys(forms, 7))) == batching
