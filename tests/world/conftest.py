"""World folders for tests: files are given as texts, and problems are asked for as they are shown to people."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from turnwise.errors import Problem, WorldError
from turnwise.world import Overrides, World

MINIMAL = '[world]\nname = "test"\n[agents.a]\nsource = "a.py"\n'

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a world: its world.toml, and other files by name (`people_csv=` is not possible, so a dict)."""

    def write_world(toml: str | bytes = MINIMAL, files: dict[str, str | bytes] | None = None) -> Path:
        contents: dict[str, str | bytes] = {"world.toml": toml, "a.py": "def turn(t): ...\n", **(files or {})}
        for name, content in contents.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path

    return write_world


def problems_of(world: Path | World, overrides: Overrides | None = None) -> list[Problem]:
    """Everything that is wrong with a world that is not right."""
    with pytest.raises(WorldError) as caught:
        check(world, overrides)
    return caught.value.problems


def check(world: Path | World, overrides: Overrides | None) -> None:
    if not isinstance(world, World):
        World.read(world, overrides)
    elif overrides is not None:
        world.override(overrides)
    else:
        world.resolve()


def only_problem(world: Path | World, overrides: Overrides | None = None) -> Problem:
    problems = problems_of(world, overrides)
    assert len(problems) == 1, problems
    return problems[0]
