"""Two builds of the interpreter, which take their time, and give the same bytes."""

from __future__ import annotations

import importlib.util
import platform
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.same_build
@pytest.mark.timeout(1800)
@pytest.mark.skipif(sys.platform != "linux" or platform.machine() != "x86_64", reason="Linux on x86-64 has the answers")
def test_two_builds_give_the_same_interpreter(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    built = []
    for name in ("one", "another-folder"):
        (tmp_path / name).mkdir()
        built.append(hook._componentize(ROOT, tmp_path / name))
    assert built[0] == built[1]
