from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import bench_pairs
from turnwise.inference.engine.load import load_model
from turnwise.inference.plans.model_spec import ModelSpec


def test_it_tries_steps_rows_texts_and_a_conversation(demo_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench_pairs.main([str(demo_model), "--quick"])
    parts = [json.loads(line)["part"] for line in capsys.readouterr().out.splitlines()]
    assert parts == ["step"] * 2 + ["rows"] * 4 + ["text"] * len(bench_pairs.TEXTS) + ["conversation"]


def test_other_bits_are_noticed(demo_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = load_model(ModelSpec("m", demo_model, "cpu")).decoder
    ids = list(range(5, 40))
    bench_pairs.held_bits(decoder, ids, 64)
    real = bench_pairs.pair
    monkeypatch.setattr(bench_pairs, "pair", lambda *of: np.nextafter(real(*of), np.float32(np.inf)))
    with pytest.raises(SystemExit, match="other bits"):
        bench_pairs.held_bits(decoder, ids, 64)
