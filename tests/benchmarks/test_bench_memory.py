from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import bench_memory


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells of a process's memory")
def test_it_tells_where_memory_goes(demo_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench_memory.main([str(demo_model), "--quick", "--kv-mib", "64"])
    found = {line["part"]: line for line in map(json.loads, capsys.readouterr().out.splitlines())}
    assert list(found) == ["loaded", "talking", "idle", "small", "counted", "sum"]
    assert found["counted"]["kept_max_mib"] == 8.0
    assert found["sum"]["holds"]
    assert 0 < found["sum"]["least"] < found["sum"]["most"]
