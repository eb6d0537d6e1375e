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
    first, second, *others = lines(capsys.readouterr().out)
    assert [first["side"], second["side"]] == ["recorded", "kernels"]
    assert (first["provider"], first["class"], first["quick"]) == ("CPUExecutionProvider", "batch-invariant", True)
    assert [line["rows"] for line in others if "rows" in line] == [1, 4]
    assert [line["agents"] for line in others if "agents" in line] == [1, 4]
    facts = others[-2]["facts"]["kernels"]
    assert facts["warm_reused_tokens"] > facts["cold_reused_tokens"]
    assert others[-1]["mixed"] == 8
    assert all(all(equal.values()) for equal in others[-1]["equal"].values())


def test_answers_that_depend_on_others_end_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: a serving whose answers say how many were asked."""
    model = toy.write_attention_folder(tmp_path)
    real = bench_device.serve

    def crowded(engine: Any, bodies: dict[int, str]) -> dict[int, str]:
        return {number: f"{answer} {len(bodies)}" for number, answer in real(engine, bodies).items()}

    monkeypatch.setattr(bench_device, "serve", crowded)
    for part, said in (("agents", "has another answer alone"), ("mixed", "depend on what runs beside them")):
        with pytest.raises(SystemExit, match=said):
            bench_device.main([str(model), "--provider", "cpu", "--quick", "--parts", part])
