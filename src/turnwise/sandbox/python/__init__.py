"""The interpreter of Python agents: CPython as a core module. Builds of it differ."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from turnwise.sandbox.interpreter import InterpreterFiles, InterpreterInfo

FILES = InterpreterFiles(Path(__file__).parent, "Python", "cpython", "componentize_py", "hatch_build.py")


def module_path() -> Path:
    """Return the path of ``interpreter.wasm``. Raises `EnvironmentFailure` where it has not been built."""
    return FILES.module()


@cache
def module_info() -> InterpreterInfo:
    """Return the facts in ``interpreter.json``. Raises `EnvironmentFailure` where it has not been built."""
    return FILES.info()
