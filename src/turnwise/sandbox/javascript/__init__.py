"""The interpreter of JavaScript agents: QuickJS-NG as a core module. Two builds of the same sources are the same."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from turnwise.sandbox.interpreter import InterpreterFiles, InterpreterInfo

FILES = InterpreterFiles(Path(__file__).parent, "JavaScript", "quickjs", "zig", "guests/javascript/build.py")


def module_path() -> Path:
    """Return the path of ``interpreter.wasm``. Raises `EnvironmentFailure` where it has not been built."""
    return FILES.module()


@cache
def module_info() -> InterpreterInfo:
    """Return the facts in ``interpreter.json``. Raises `EnvironmentFailure` where it has not been built."""
    return FILES.info()
