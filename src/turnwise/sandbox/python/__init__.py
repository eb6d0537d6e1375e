"""The interpreter module of Python agents: one artefact that lies in the wheel.

It is named by its hash in every journal, and builds of it differ, so it is never built at run time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from turnwise.errors import EnvironmentFailure

_HERE = Path(__file__).parent
_HINT = "It comes with the wheel. In a source tree, build it: pip install -e . (or: python hatch_build.py)"


@dataclass(frozen=True, slots=True)
class PythonInterpreter:
    """Facts about the interpreter module."""

    sha256: str
    """SHA-256 (hex) of the module."""
    bytes: int
    """Size of the module."""
    cpython: str
    """Version of CPython in it."""
    componentize_py: str
    """Version of componentize-py that built it."""
    sdk: str
    """Version of the SDK in it."""
    modules: tuple[str, ...]
    """Standard modules that agents can import."""


def module_path() -> Path:
    """Return the path of ``interpreter.wasm``. Raises `EnvironmentFailure` where it has not been built."""
    return _file("interpreter.wasm")


@cache
def module_info() -> PythonInterpreter:
    """Return the facts in ``interpreter.json``. Raises `EnvironmentFailure` where it has not been built."""
    path = _file("interpreter.json")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        return PythonInterpreter(
            sha256=facts["sha256"],
            bytes=facts["bytes"],
            cpython=facts["cpython"],
            componentize_py=facts["componentize_py"],
            sdk=facts["sdk"],
            modules=tuple(facts["modules"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EnvironmentFailure(f"{path} is damaged: {error!r}", where=str(_HERE), hint=_HINT) from None


def _file(name: str) -> Path:
    path = _HERE / name
    if not path.is_file():
        raise EnvironmentFailure(
            f"{name} is missing, so Python agents cannot run",
            where=str(_HERE),
            hint=_HINT,
        )
    return path
