"""The interpreter of JavaScript agents: QuickJS-NG as a core module, one artefact that lies in the wheel.

It is named by its hash in every journal. Two builds of the same sources give the same module.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from turnwise.errors import EnvironmentFailure

_HERE = Path(__file__).parent
_HINT = "It comes with the wheel. In a source tree, build it: pip install -e . (or: python guests/javascript/build.py)"


@dataclass(frozen=True, slots=True)
class ModuleInfo:
    """Facts about the interpreter of JavaScript agents."""

    sha256: str
    """SHA-256 (hex) of the module."""
    bytes: int
    """Size of the module."""
    quickjs: str
    """Version of QuickJS-NG in it."""
    zig: str
    """Version of Zig that compiled it."""
    sdk: str
    """Version of the SDK in it."""


def module_path() -> Path:
    """Return the path of ``interpreter.wasm``. Raises `EnvironmentFailure` where it has not been built."""
    return _file("interpreter.wasm")


@cache
def module_info() -> ModuleInfo:
    """Return the facts in ``interpreter.json``. Raises `EnvironmentFailure` where it has not been built."""
    path = _file("interpreter.json")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        return ModuleInfo(**{name: facts[name] for name in ("sha256", "bytes", "quickjs", "zig", "sdk")})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EnvironmentFailure(f"{path} is damaged: {error!r}", where=str(_HERE), hint=_HINT) from None


def _file(name: str) -> Path:
    path = _HERE / name
    if not path.is_file():
        raise EnvironmentFailure(f"{name} is missing, so JavaScript agents cannot run", where=str(_HERE), hint=_HINT)
    return path
