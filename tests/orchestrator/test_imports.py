"""Modules of the orchestrator's process: numpy, ONNX Runtime and what handles text are the inference process's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import turnwise

SOURCES = Path(turnwise.__path__[0]).parent
EXAMPLES = SOURCES.parent / "examples"
HEAVY = ("numpy", "onnxruntime", "tokenizers", "jinja2", "llguidance")

PROGRAM = """
import sys
{action}
print(*sorted(name for name in {heavy!r} if name in sys.modules))
"""


def loaded(action: str, tmp_path: Path) -> list[str]:
    """Those of `HEAVY` that a new process has loaded after `action`."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(action=action, heavy=HEAVY)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(SOURCES)},
        cwd=tmp_path,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_everything_public_is_imported_without_them(tmp_path: Path) -> None:
    assert not loaded("import turnwise\nfor name in turnwise.__all__: getattr(turnwise, name)", tmp_path)


def test_a_run_with_a_model_is_played_without_them(tmp_path: Path) -> None:
    if not (EXAMPLES / "haggle").is_dir():
        pytest.skip("the examples lie in the source tree only")
    action = f"import turnwise\nrun = turnwise.run({str(EXAMPLES / 'haggle')!r})\nassert run.head"
    assert not loaded(action, tmp_path)


def test_they_would_be_found(tmp_path: Path) -> None:
    assert loaded("import turnwise.inference.engine.engine", tmp_path) == sorted(HEAVY)
