"""Whatever stands in a world file: a world or its problems, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.world.conftest import MINIMAL
from turnwise.errors import WorldError
from turnwise.visible_text import visible
from turnwise.world import Agent, Grants, InitialMessage, Model, Overrides, World
from turnwise.world.meaning.resolve import resolve
from turnwise.world.problems import Problems
from turnwise.world.written.document import describe
from turnwise.world.written.parse import parse

TEXTS = st.sampled_from(
    ["", "a", "a-1", "b", "*", "a*", "g", "outside", "rounds", "a.py", "t.csv", ".", "..", "/", "é"]
)
SCALARS = (
    TEXTS
    | st.text(max_size=3)
    | st.integers(-2, 3)
    | st.sampled_from([2**63 - 1, 2**63, 10**30, math.nan, math.inf, 0.5, None, True, False, b"", b"\0asm"])
    | st.sampled_from([date(2000, 1, 1), datetime(2000, 1, 1, tzinfo=UTC), datetime.min, datetime.max])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS, inner, max_size=3), max_leaves=8
)


def tables(part: type, *more: str) -> st.SearchStrategy[Any]:
    """A table with some of the keys of a part, or any other value."""
    keys = st.sampled_from([*part.__dataclass_fields__, *more, "other"])  # type: ignore[attr-defined]
    return st.dictionaries(keys, VALUES, max_size=6) | VALUES


def several(entries: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(TEXTS, entries, max_size=3) | VALUES


DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "world": tables(World),
        "models": several(tables(Model)),
        "agents": several(
            st.builds(
                lambda table, grants: {**table, "grants": grants} if isinstance(table, dict) else table,
                tables(Agent),
                tables(Grants),
            )
        ),
        "messages": st.lists(tables(InitialMessage), max_size=2) | VALUES,
        "other": VALUES,
    },
)


def assert_world_or_problems(make: Callable[[Any], World], argument: object) -> None:
    try:
        made = make(argument)
    except WorldError as caught:
        problems = caught.problems
        assert problems
    else:
        assert made.resolve().agents


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    (folder / "a.py").write_text("import a\n")
    (folder / "t.csv").write_text("name,x\na,1\nb,\n")
    return folder


@settings(max_examples=400, deadline=None)
@given(document=DOCUMENTS)
def test_any_document_is_a_world_or_has_problems(folder: Path, document: dict[str, Any]) -> None:
    problems = Problems("world.toml")
    resolved = resolve(parse(document, folder, problems), problems)
    assert (resolved is None) == bool(problems)
    for problem in problems.found:
        text = str(problem).replace("\n  ", "", 1)
        assert visible(text) == text
        assert problem.message
        assert problem.hint


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=60), at=st.integers(0, len(MINIMAL)), cut=st.integers(0, 10))
def test_any_file_is_a_world_or_has_problems(folder: Path, data: bytes, at: int, cut: int) -> None:
    whole = MINIMAL.encode()
    (folder / "world.toml").write_bytes(whole[:at] + data + whole[at + cut :])
    assert_world_or_problems(World.read, folder)


@settings(max_examples=200, deadline=None)
@given(
    setting=st.builds(
        "{}={}".format,
        st.lists(st.sampled_from(["world", "agents", "a", "args", "name", "seed", "0", "messages"]), min_size=1).map(
            ".".join
        ),
        st.text(max_size=5) | st.sampled_from(["[]", "{}", "[{}]", "3", "nan"]),
    )
)
def test_any_option_gives_a_world_or_problems(folder: Path, setting: str) -> None:
    messages = [InitialMessage("a-1", "")]
    world = World("x", agents={"a": Agent("a.py", args=[{"x": 1}])}, messages=messages, folder=folder)
    assert_world_or_problems(world.override, Overrides([setting]))
    assert describe(world) == describe(
        World("x", agents={"a": Agent("a.py", args=[{"x": 1}])}, messages=messages, folder=folder)
    )
