"""Tools that are known without starting a server, and grants that name others."""

from __future__ import annotations

from pathlib import Path

import pytest

import turnwise
from turnwise.orchestrator.known_tools import known_tools, name_hint, unknown_grants
from turnwise.world import Agent, CallGrant, Grants, Tools, World

AGENT = "def turn(t):\n    t.call('calc.sub', {})\n"


def world_of(folder: Path, *call: str | CallGrant) -> World:
    (folder / "calc.py").write_text("def add(a: int) -> int:\n    return a\n", encoding="utf-8")
    (folder / "tool.wat").write_text("(module)", encoding="utf-8")
    return World(
        "w",
        agents={"a": Agent(AGENT, start=True, grants=Grants(call=call))},
        tools={
            "calc": Tools("python", {"path": "calc.py"}),
            "named": Tools("python", {"path": "calc.py", "functions": ["one"]}),
            "notes": Tools("files", {"folder": "."}),
            "drafts": Tools("files", {"folder": ".", "write": ["."]}),
            "web": Tools("http", {"hosts": ["a.example"], "headers": {"a.example": {"X": {"secret": "env:NOWHERE"}}}}),
            "pure": Tools("wasm", {"path": "tool.wat"}),
            "wrong": Tools("files", {}),
        },
        folder=folder,
    )


def test_what_is_known(tmp_path: Path) -> None:
    assert known_tools(world_of(tmp_path).resolve()) == {
        "calc": ("calc.add",),
        "named": ("named.one",),
        "notes": ("notes.list", "notes.read", "notes.search"),
        "drafts": ("drafts.list", "drafts.read", "drafts.search", "drafts.write"),
        "web": ("web.get",),
    }


@pytest.mark.parametrize(
    ("entry", "hint"),
    [
        ("calc.ad", 'Did you mean "calc.add"?'),
        ("notes.write", "There are: notes.list, notes.read, notes.search."),
        ("notes.write_*", "There are: notes.list, notes.read, notes.search."),
        (CallGrant(tool="web.gte"), 'Did you mean "web.get"?'),
    ],
)
def test_grants_of_tools_that_there_are_not(tmp_path: Path, entry: str | CallGrant, hint: str) -> None:
    world = world_of(tmp_path, entry).resolve()
    (found,) = unknown_grants(world, known_tools(world))
    assert found.where.endswith("agents.a.grants.call")
    assert found.is_warning
    assert found.hint == hint


@pytest.mark.parametrize("entry", ["calc", "calc.add", "calc.*", "c*", "notes.re*", "pure.anything", "pure", "wrong.x"])
def test_other_grants_are_not_warned_of(tmp_path: Path, entry: str) -> None:
    world = world_of(tmp_path, entry).resolve()
    assert unknown_grants(world, known_tools(world)) == []


def test_check_says_all_of_it(tmp_path: Path) -> None:
    """Settings that are wrong are errors; the others are warnings, and come behind."""
    problems = turnwise.check(world_of(tmp_path, "calc.add", "notes.raed"))
    assert [(problem.is_warning, problem.message) for problem in problems] == [
        (False, "is missing"),
        (True, 'it calls "calc.sub", and "calc" has no such tool'),
        (True, '"notes" has no tool "notes.raed"'),
    ]
    assert problems[0].where.endswith("tools.wrong.folder")


def test_hints() -> None:
    assert name_hint("x", []) == "There is none in this world."
    assert name_hint("", [f"a.{number:02}" for number in range(25)]).endswith("a.19, and 5 more.")
