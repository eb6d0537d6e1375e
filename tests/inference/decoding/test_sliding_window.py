"""Attention over the last tokens only, whose graph wants rows of KV cache at least as long as its window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.inference import toy
from turnwise.errors import ModelError
from turnwise.inference.engine.load import load_model
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_spec import ModelSpec

WINDOW = 100
PROMPT = [int(token) for token in np.random.default_rng(7).integers(2, toy.VOCABULARY, 300)]


def folder(path: Path, *, said: int | None = WINDOW, windowed: bool = True) -> Path:
    """A model whose configuration names the window `said`; its graph keeps a cache for just that, if `windowed`."""
    graph = toy.attention_graph(local_window_size=WINDOW, **({"sliding_window_cache": 1} if windowed else {}))
    configuration = toy.config(16, 2, context_length=512)
    if said is not None:
        configuration["model"]["decoder"]["sliding_window"] = {"window_size": said, "layers": [0]}
    return toy.write_folder(path, graph, configuration=configuration)


def logits(path: Path, cuts: list[int], steps: int) -> NDArray[Any]:
    model = load_model(ModelSpec("m", path, "cpu")).decoder
    model.begin(len(PROMPT) + steps)
    start = 0
    for size in cuts:
        row = model.run(PROMPT[start : start + size])
        start += size
    found = [row.copy()]
    for _ in range(steps):
        found.append(model.run([int(found[-1].argmax())]).copy())
    return np.array(found)


def test_beyond_the_window_it_answers_as_a_whole_cache_does(tmp_path: Path) -> None:
    whole = logits(folder(tmp_path / "whole", windowed=False), [300], 12)
    model = folder(tmp_path / "windowed")
    for cuts in ([300], [128, 128, 44], [2, 98, 200]):
        assert np.array_equal(logits(model, cuts, 12), whole)
    unlimited = toy.write_folder(
        tmp_path / "all", toy.attention_graph(), configuration=toy.config(16, 2, context_length=512)
    )
    assert not np.array_equal(logits(unlimited, [300], 12), whole), "the window shows"


def test_its_class_is_found_and_rows_are_as_long_as_the_window(tmp_path: Path) -> None:
    model = load_model(ModelSpec("m", folder(tmp_path), "cpu"))
    numeric = model.info.numeric
    assert numeric is not None
    assert (numeric.numeric_class, numeric.batching) == ("batch-invariant", "free")
    assert [model.decoder.room(capacity) for capacity in (1, 99, 101)] == [WINDOW, WINDOW, 101]


def test_little_memory_still_holds_a_row(tmp_path: Path) -> None:
    model = load_model(ModelSpec("m", folder(tmp_path), "cpu"), EngineOptions(kv_bytes_max=1000))
    model.decoder.begin(8)
    assert model.decoder.budget.rows_max == 1


def test_what_a_kernel_refuses_is_shown_as_it_says_it(tmp_path: Path) -> None:
    """The control: a configuration that does not name the window."""
    with pytest.raises(ModelError) as caught:
        load_model(ModelSpec("m", folder(tmp_path, said=None), "cpu"))
    said = str(caught.value)
    assert "must be at least local_window_size" in said
    assert "not supported" in said
    assert "damaged" not in said


def test_a_window_that_is_no_length(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="sliding_window"):
        load_model(ModelSpec("m", folder(tmp_path, said=-5), "cpu"))
