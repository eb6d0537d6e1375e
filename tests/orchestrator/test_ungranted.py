from __future__ import annotations

from pathlib import Path

import pytest

import turnwise
from turnwise.orchestrator.ungranted import TOOLS_REPORTED_MAX, ungranted
from turnwise.world import Agent, CallGrant, Grants, Tools, World


def warned(text: str, *, finish: bool = False) -> list[str]:
    """Places of the warnings of an agent with this source."""
    found = ungranted(World("w", agents={"a": Agent(text, grants=Grants(finish=finish))}).resolve())
    assert all(problem.is_warning for problem in found)
    return [problem.where.rpartition(" ")[2] for problem in found]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("def turn(t):\n    t.finish()\n", 2),
        ("def turn(turn, /):\n    if turn.inbox:\n        turn.finish({'a': 1})\n", 3),
        ("def turn(t):\n    def done():\n        t.finish()\n    done()\n", 3),
        ("def turn(t):\n    end(t)\n\ndef end(x: Turn):\n    x.finish(1)\n", 5),
        ("import turnwise_guest\ndef turn(t):\n    pass\ndef end(x: 'turnwise_guest.Turn'): x.finish(1)\n", 4),
        ("def turn(t):\n    end(x=t)\n\ndef end(*, x: Turn):\n    x.finish(1)\n", 5),
        ("def turn(t):\n    t.finish()\n    t.finish()\n", 2),
    ],
)
def test_a_call_of_finish_without_the_grant_is_found(text: str, line: int) -> None:
    assert warned(text) == [f"a.py:{line}"]
    assert warned(text, finish=True) == []


@pytest.mark.parametrize(
    "text",
    [
        "def turn(t):\n    t.state['finish'] = 1\n",
        "def turn(t):\n    task.finish()\n",
        "def turn(t):\n    pass\ndef other(t):\n    t.finish()\n",
        "def turn():\n    t.finish()\n",
        "def turn(t)\n    t.finish()\n",
        "(module)",
    ],
)
def test_other_sources_are_not_warned_of(text: str) -> None:
    assert warned(text) == []


def test_modules_beside_an_agent_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import ends\ndef turn(t):\n    ends.end(t)\n")
    (tmp_path / "ends.py").write_text("from turnwise_guest import Turn\ndef end(t: Turn):\n    t.finish()\n")
    (found,) = ungranted(World("w", agents={"a": Agent("a.py")}, folder=tmp_path).resolve())
    assert found.where.endswith("ends.py:3")


def test_check_warns_of_it_after_all_errors() -> None:
    agents = {
        "a": Agent("def turn(t):\n    t.finish()\n", start=True),
        "b": Agent("import requests\ndef turn(t):\n    pass\n", start=True),
    }
    problems = turnwise.check(World("w", agents=agents))
    assert [problem.message.split(":")[0] for problem in problems] == [
        "no agent can import requests",
        "it ends the run by finish, which it is not granted",
    ]


TOOLS = {"calc": Tools("python", {"path": "calc.py"}), "notes": Tools("files", {"folder": "notes"})}


def warned_of_tools(text: str, *call: str | CallGrant) -> list[tuple[str, str]]:
    """Places and hints of the warnings of an agent with this source and these grants."""
    world = World("w", agents={"a": Agent(text, grants=Grants(call=call))}, tools=TOOLS)
    return [(problem.where.rpartition(" ")[2], problem.hint) for problem in ungranted(world.resolve())]


@pytest.mark.parametrize(
    "text",
    [
        "def turn(t):\n    t.call('calc.add', {})\n",
        "def turn(t):\n    t.call(name='calc.add')\n",
        "def turn(t):\n    t.call_all([('calc.add', {}), 'calc.add'])\n",
        "def turn(t):\n    t.call_all(calls=(('calc.add', {}),))\n",
        "def turn(t):\n    if t.call('calc.add').data: t.call('calc.add')\n",
    ],
)
def test_a_call_of_a_tool_without_the_grant_is_found(text: str) -> None:
    grant = 'Grant it: call = ["calc.add"] in [agents.a.grants].'
    assert warned_of_tools(text) == [("a.py:2", grant)]
    assert warned_of_tools(text, "notes", "calc.sub", "calc.*x") == [("a.py:2", grant)]
    for enough in ("calc.add", "calc", "calc.*", CallGrant(tool="calc.add"), CallGrant(tool="calc", approve=True)):
        assert warned_of_tools(text, enough) == []


def test_a_server_alone_stands_for_its_only_tool() -> None:
    text = "def turn(t):\n    t.call('calc')\n"
    assert warned_of_tools(text, "calc.add") == []
    assert len(warned_of_tools(text, "notes")) == 1


def test_a_tool_of_no_server_is_found() -> None:
    (found,) = warned_of_tools("def turn(t):\n    t.call('clac.add')\n", "calc")
    assert found == ("a.py:2", 'Did you mean "calc"?')
    (found,) = warned_of_tools("def turn(t):\n    t.call('weather.today')\n", "calc")
    assert found == ("a.py:2", "Add a table [tools.weather], or mend the name.")


def test_each_tool_is_reported_once_and_not_without_end() -> None:
    lines = "".join(f"    t.call('calc.f{number}')\n    t.call('calc.f{number}')\n" for number in range(100))
    found = warned_of_tools(f"def turn(t):\n{lines}    t.call(t.args['tool'])\n    other.call('calc.add')\n")
    assert [place for place, _ in found] == [f"a.py:{2 + 2 * number}" for number in range(TOOLS_REPORTED_MAX)]


def test_a_tool_that_its_server_does_not_have_is_found() -> None:
    world = World(
        "w", agents={"a": Agent("def turn(t):\n    t.call('notes.raed')\n", grants=Grants(call=["notes"]))}, tools=TOOLS
    )
    (found,) = ungranted(world.resolve(), {"notes": ("notes.list", "notes.read")})
    assert found.message == 'it calls "notes.raed", and "notes" has no such tool'
    assert found.hint == 'Did you mean "notes.read"?'
