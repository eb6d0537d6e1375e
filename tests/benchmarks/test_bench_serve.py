from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import bench_serve


def test_it_loads_a_server_and_says_what_came_of_it(demo_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench_serve.main([str(demo_model), "--quick"])
    (line,) = capsys.readouterr().out.splitlines()
    figures = json.loads(line)
    assert (figures["server"], figures["clients"], figures["errors"]) == ("turnwise serve", 8, 0)
    assert figures["answers"] > 0
    assert figures["first_token_ms"] > 0
    assert len(figures["memory_mib"]) == 2


def test_two_answers_to_one_conversation_or_an_error_end_it() -> None:
    """The control: loads in which something has gone wrong."""
    bench_serve.check(bench_serve.Load(texts={1: {"a"}, 2: {"b"}}))
    with pytest.raises(SystemExit, match="several answers"):
        bench_serve.check(bench_serve.Load(texts={1: {"a", "b"}}))
    with pytest.raises(SystemExit, match="errors"):
        bench_serve.check(bench_serve.Load(errors=["429"]))
