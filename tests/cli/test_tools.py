"""`turnwise tools` and `turnwise call`: what a world's servers list, and one call, with what can be wrong."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from turnwise.cli.errors import DONE, FAILED, WRONG
from turnwise.world.template import create_world

WORLD = """
[world]
name = "w"

[tools.calc]
kind = "python"
path = "calc.py"
idempotent = ["add"]

[tools.notes]
kind = "files"
folder = "notes"

[agents.clerk]
source = "clerk.py"
grants = { call = ["calc.add", { tool = "notes", approve = true }] }

[[messages]]
to = "clerk"
body = "begin"
"""
CALC = '''
def add(a: int, b: int = 10) -> int:
    """Add two numbers.

    And then \\x1b]0;title\\x07."""
    return a + b

def echo(text: str) -> str:
    return text

def fail() -> None:
    raise ValueError("no such city")
'''


@pytest.fixture
def world(tmp_path: Path) -> Path:
    folder = tmp_path / "w"
    (folder / "notes").mkdir(parents=True)
    (folder / "world.toml").write_text(WORLD, encoding="utf-8")
    (folder / "calc.py").write_text(CALC, encoding="utf-8")
    (folder / "clerk.py").write_text("def turn(t):\n    pass\n", encoding="utf-8")
    return folder


def test_tools_are_listed_for_people(command: Command, world: Path) -> None:
    ended = command("tools", world)
    assert ended.code == DONE
    lines = ended.out.splitlines()
    assert lines[0] == "calc  python  3 tools"
    start = lines.index("  calc.add  idempotent")
    assert lines[start : start + 9] == [
        "  calc.add  idempotent",
        "    Add two numbers.",
        "",
        "    And then \\e]0;title\\a.",
        "    a: integer",
        "    b: integer = 10",
        "    gives integer",
        "    granted to clerk",
        "  calc.echo",
    ]
    assert lines[lines.index("  calc.fail") + 1] == "    granted to nobody"
    assert "    granted to clerk (a person approves)" in lines
    assert "\x1b" not in ended.out


def test_tools_are_listed_for_programs(command: Command, world: Path) -> None:
    ended = command("tools", world, "--json")
    assert ended.code == DONE
    calc, notes = json.loads(ended.out)["servers"]
    assert (calc["name"], calc["kind"], calc["problem"], calc["left_out"]) == ("calc", "python", None, [])
    assert [tool["name"] for tool in notes["tools"]] == ["notes.list", "notes.read", "notes.search"]
    add = calc["tools"][0]
    assert add["input_schema"]["required"] == ["a"]
    assert (add["output_schema"], add["idempotent"], add["pure"]) == ({"type": "integer"}, True, False)
    assert add["granted"] == [{"kind": "clerk", "approve": False}]
    assert notes["tools"][0]["granted"] == [{"kind": "clerk", "approve": True}]


def test_a_server_that_cannot_start_keeps_no_other_from_being_listed(command: Command, world: Path) -> None:
    (world / "notes").rmdir()
    ended = command("tools", world)
    assert ended.code == FAILED
    assert "notes  files  cannot be started" in ended.out
    assert "No such file or directory" in ended.out
    assert "  calc.add  idempotent" in ended.out
    found = json.loads(command("tools", world, "--json").out)["servers"]
    assert [bool(server["problem"]) for server in found] == [False, True]


def test_a_world_without_tools(command: Command, tmp_path: Path) -> None:
    create_world(tmp_path / "w")
    ended = command("tools", tmp_path / "w")
    assert (ended.code, ended.out) == (DONE, "This world has no tools; docs/tools.md says how it gets some.\n")


def test_a_call(command: Command, world: Path) -> None:
    ended = command("call", world, "calc.add", '{"a": 1}')
    assert (ended.code, ended.out) == (DONE, "11\ndata  11\n")
    assert json.loads(command("call", world, "calc.add", '{"a": 1, "b": 2}', "--json").out) == {
        "ok": {"text": "3", "data": 3}
    }


def test_a_result_does_not_act_on_the_terminal(command: Command, world: Path) -> None:
    ended = command("call", world, "calc.echo", '{"text": "\\u001b[2J\\u202e\\nnext"}')
    assert ended.out == "\\e[2J\\u202e\nnext\n"


SMALL = Path(__file__).parents[1] / "tools" / "kinds" / "mcp" / "servers" / "small.py"


def test_a_tool_that_asks_people(command: Command, world: Path) -> None:
    table = f'[tools.small]\nkind = "mcp"\ncommand = {json.dumps(sys.executable)}\nargs = [{json.dumps(str(SMALL))}]\n'
    (world / "world.toml").write_text(WORLD + table, encoding="utf-8")
    asked = command("call", world, "small.ask", '{"what": "shirt"}')
    assert asked.code == FAILED
    assert "Which size of shirt?" in asked.out
    (question,) = json.loads(command("call", world, "small.ask", '{"what": "shirt"}', "--json").out)["ask"]["questions"]
    answers = json.dumps({question["key"]: {"size": "M", "count": 2}})
    answered = command("call", world, "small.ask", '{"what": "shirt"}', "--answers", answers)
    assert (answered.code, answered.out.splitlines()[0]) == (DONE, "2 M")


@pytest.mark.parametrize(
    ("tool", "args", "said"),
    [
        ("calc.fail", "{}", "tool: ValueError: no such city\n"),
        ("calc.add", '{"a": "one"}', "invalid: $.a: 'one' is not of type 'integer'\n"),
        ("notes.read", '{"path": "../calc.py"}', "tool: the path '../calc.py' has `..`; nothing outside"),
    ],
)
def test_a_call_that_fails(command: Command, world: Path, tool: str, args: str, said: str) -> None:
    ended = command("call", world, tool, args)
    assert ended.code == FAILED
    assert ended.out.startswith(said)
    assert json.loads(command("call", world, tool, args, "--json").out)["error"]["kind"] == said.partition(":")[0]


@pytest.mark.parametrize(
    ("tool", "args", "message", "hint"),
    [
        ("calc.ad", "{}", 'there is no tool "calc.ad"', 'Did you mean "calc.add"?'),
        ("calc", "{}", 'there is no tool "calc"', "There are: calc.add, calc.echo, calc.fail."),
        ("clac.add", "{}", 'there is no tool server "clac"', 'Did you mean "calc"?'),
        ("calc.add", "a=1", "the arguments are no JSON", "Write a JSON object"),
        ("calc.add", "[1]", "the arguments are no JSON object", "Write a JSON object"),
        ("calc.add", '{"a": NaN}', "the arguments are no JSON", "Write a JSON object"),
    ],
)
def test_a_call_of_nothing(command: Command, world: Path, tool: str, args: str, message: str, hint: str) -> None:
    ended = command("call", world, tool, args)
    assert ended.code == WRONG
    assert message in ended.err
    assert hint in ended.err
    assert ended.out == ""
