from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import bench_device
from tests.inference import toy


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_it_runs_and_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = toy.write_attention_folder(tmp_path)
    bench_device.main([str(model), "--provider", "cpu", "--quick"])
    first, *others = lines(capsys.readouterr().out)
    assert (first["provider"], first["class"], first["quick"]) == ("CPUExecutionProvider", "batch-invariant", True)
    assert [line["rows"] for line in others if "rows" in line] == [1, 4]
    assert [line["agents"] for line in others if "agents" in line] == [1, 4]
    assert others[-1]["warm_reused_tokens"] > others[-1]["cold_reused_tokens"]


def test_answers_that_depend_on_others_end_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: a serving whose answers say how many were asked."""
    model = toy.write_attention_folder(tmp_path)
    real = bench_device.serve

    def crowded(engine: Any, bodies: dict[int, str]) -> dict[int, str]:
        return {number: f"{answer} {len(bodies)}" for number, answer in real(engine, bodies).items()}

    monkeypatch.setattr(bench_device, "serve", crowded)
    with pytest.raises(SystemExit, match="has another answer alone"):
        bench_device.main([str(model), "--provider", "cpu", "--quick"])
