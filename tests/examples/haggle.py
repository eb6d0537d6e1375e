"""The haggling world's own files, for tests."""

from __future__ import annotations

import csv
import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

WORLD = Path(__file__).resolve().parents[2] / "examples" / "haggle"


@cache
def agent_module(name: str) -> ModuleType:
    """A module of the world, imported as its agents import it."""
    spec = importlib.util.spec_from_file_location(f"haggle_{name}", WORLD / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there for annotations
    sys.path.insert(0, str(WORLD))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(WORLD))
    return module


def people() -> list[dict[str, str]]:
    with (WORLD / "people.csv").open(newline="") as file:
        return list(csv.DictReader(file))
