"""A world has one plan and one head, whatever the interpreter around it is set to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.core.test_json_text import ENVIRONMENTS, answers_of

WORLD = """
[world]
name = "wörld"
time_start = 2030-06-01T08:00:00+02:00
[agents.b]
source = "b.py"
table = "people.csv"
groups = ["z", "a", "m"]
grants = { send = ["z", "b*", "a", "c-?"], spawn = ["*"] }
args = { long = 9223372036854775807, small = 5e-324, "ключ" = [1.0, 1, true] }
[agents.c]
source = "b.py"
count = 2
start = true
grants = { send = ["*"] }
[[messages]]
to = "z"
body = "grüße"
"""

PROGRAM = """
import os, sys
from turnwise.core.plan_json import plan_to_json
from turnwise.sim import simulate
from turnwise.world import World

def behaviour(turn, effect):
    names = [message["from"] for message in turn["inbox"]]
    return {"state": turn["seed"], "send": [{"to": name, "body": "x"} for name in ("b", "z", "c-1")], "stop": []}

world = World.read(os.environ["WORLD"])
plan = world.plan({"b": "0" * 64, "c": "1" * 64}, {})
run = simulate(plan, {"b": behaviour, "c": behaviour}, rounds=6)
text = plan_to_json(plan) + repr(sorted(world.resolve().sources["b"].files)) + run.head
sys.stdout.buffer.write(text.encode())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def usual(folder: Path) -> str:
    """The plan and the head as the interpreter comes."""
    return answers_of(PROGRAM, {"WORLD": str(folder)}, ())


def written(tmp_path: Path) -> Path:
    (tmp_path / "world.toml").write_text(WORLD, encoding="utf-8")
    (tmp_path / "b.py").write_text("from near import c\ndef turn(t): ...\n", encoding="utf-8")
    (tmp_path / "near.py").write_text("c = 1\n", encoding="utf-8")
    (tmp_path / "people.csv").write_text("name,age,mood\nb-1,10,glücklich\nb-2,12.5,\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("name", [name for name, (_, options) in ENVIRONMENTS.items() if "-c" not in options])
def test_nothing_around_the_interpreter_reaches_a_plan_or_a_head(name: str, folder: Path, usual: str) -> None:
    environment, options = ENVIRONMENTS[name]
    assert "near.py" in usual
    assert answers_of(PROGRAM, {"WORLD": str(folder), **environment}, options) == usual


LOOKS_FOR = """
import os
from turnwise.errors import WorldError
from turnwise.world import World

try:
    found = World.read(os.environ["WORLD"]).resolve().sources["b"].files
    print([name for name, _ in found] == ["b.py", "gr\\u00f6\\u00dfe.py", "near.py"])
except WorldError as error:
    print(ascii(str(error)))
"""


def test_a_module_that_cannot_be_looked_for_is_said_and_not_passed_over(tmp_path: Path) -> None:
    folder = written(tmp_path)
    (folder / "b.py").write_text("import größe, near\ndef turn(t): ...\n", encoding="utf-8")
    (folder / "größe.py").write_text("", encoding="utf-8")
    assert answers_of(LOOKS_FOR, {"WORLD": str(folder)}, ()) == "True\n"
    environment, _ = ENVIRONMENTS["locale C"]
    refused = answers_of(LOOKS_FOR, {"WORLD": str(folder), **environment}, ())
    assert "cannot be looked for: file names are ascii here" in refused
    assert "agents.b.source" in refused
