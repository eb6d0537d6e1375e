from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.inference import graphs
from tests.inference.tensor_models.asking import Counting, ask, load, parcel
from turnwise.inference.tensor_models.row_batching import BATCH_SIZES, ROWS_SEEN_MIN


def test_rows_run_together_with_the_bits_that_each_gets_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(tmp_path, graphs.dense_graph())
    assert model.batching.found == "rows batched"
    random = np.random.default_rng(3)
    rows = [parcel(number, x=random.standard_normal((1, 8)).astype(np.float32)) for number in range(29)]
    alone = {row.id: ask(model, row)[row.id] for row in rows}
    counting = Counting(model, monkeypatch)
    together = ask(model, *reversed(rows))
    assert counting.rows == [16, 8, 4, 1]
    assert list(together) == sorted(together), "lowest request first, in whatever order they came"
    for number, found in together.items():
        assert found["y"].tobytes() == alone[number]["y"].tobytes()  # type: ignore[index, union-attr]


def test_requests_of_several_rows_run_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(tmp_path, graphs.dense_graph())
    counting = Counting(model, monkeypatch)
    ask(model, *[parcel(number, x=np.ones((3, 8), np.float32)) for number in range(2)])
    assert counting.rows == [3, 3]


def test_a_graph_that_mixes_rows_runs_them_singly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(tmp_path, graphs.mixing_graph())
    assert model.batching.found == "rows singly"
    counting = Counting(model, monkeypatch)
    found = ask(model, *[parcel(number, x=np.full((1, 4), number, np.float32)) for number in range(4)])
    assert counting.rows == [1, 1, 1, 1]
    assert all(answer["y"].tolist() == [[1, 1, 1, 1]] for answer in found.values())  # type: ignore[index, union-attr]


def test_a_graph_without_a_batch_axis_runs_singly(tmp_path: Path) -> None:
    assert load(tmp_path, graphs.dense_graph(rows=1)).batching.found == "rows singly"
    assert load(tmp_path, graphs.pair_graph()).batching.found == "rows singly"


def test_open_shapes_are_tried_when_enough_of_them_were_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(tmp_path, graphs.encoder_graph())
    assert model.batching.found == "rows tried"
    ids = np.array([[5, 6, 7]])
    rows = [parcel(n, input_ids=ids + n, attention_mask=np.ones_like(ids)) for n in range(ROWS_SEEN_MIN + 20)]
    counting = Counting(model, monkeypatch)
    found = ask(model, *rows)
    assert counting.rows[: ROWS_SEEN_MIN - 1] == [1] * (ROWS_SEEN_MIN - 1)
    assert counting.rows[-2:] == [16, 4] or counting.rows[-1] in BATCH_SIZES or counting.rows[-1] == 1
    assert 16 in counting.rows
    table = graphs.table_of()
    for number, answer in found.items():
        assert answer["last_hidden_state"].tobytes() == table[ids + number].tobytes()  # type: ignore[index, union-attr]
