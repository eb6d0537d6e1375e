"""Calls of tools in runs: what agents get, what waits, and what is recorded. Servers are real, in their processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import turnwise
from tests.orchestrator.crashing import KILLED_AT
from turnwise.core.question import AskedQuestion
from turnwise.errors import JournalError, WorldError
from turnwise.history.replay import replay
from turnwise.orchestrator.crash_points import CRASH_POINTS
from turnwise.orchestrator.live import Live
from turnwise.orchestrator.native import run_native
from turnwise.orchestrator.settings import Settings
from turnwise.world import Agent, CallGrant, Grants, Tools, World

TOOLS = '''
import os, time
from pathlib import Path

HERE = Path(__file__).parent

def note(what: str) -> str:
    """Note something, and count how often."""
    with open(HERE / "noted", "a") as file:
        file.write(what + "\\n")
    return "noted " + what

def again(what: str) -> str:
    """The same; it may be called again."""
    return note(what)

def slow(what: str) -> str:
    """Note something when there is a file that says go."""
    while not (HERE / "go").exists():
        time.sleep(0.001)
    return note(what)

def add(a: int, b: int) -> dict:
    """Add two numbers."""
    return {"sum": a + b}

def fail() -> None:
    raise ValueError("no")
'''


def world(folder: Path, source: str, *, grants: Grants | None = None, **members: Any) -> World:
    (folder / "tools.py").write_text(TOOLS)
    (folder / "agent.py").write_text("from turnwise_guest import EffectError\n" + textwrap.dedent(source))
    (folder / "other.py").write_text(
        "def turn(t):\n    t.state = t.state or 0\n    t.state += 1\n    if t.state < 5:\n        t.wake_in(1)\n"
    )
    settings = {"park_after_ms": 60_000, **members}
    return World(
        "calls",
        tools={"own": Tools("python", {"path": "tools.py"}, idempotent=["again"])},
        agents={
            "agent": Agent("agent.py", start=True, grants=grants or Grants(call=["own"], finish=True)),
            "other": Agent("other.py", start=True),
        },
        folder=folder,
        **settings,
    )


def noted(folder: Path) -> list[str]:
    try:
        return (folder / "noted").read_text().split()
    except FileNotFoundError:
        return []


def check_replay(journal: Path, folder: Path) -> None:
    """Replay with no server there, and compare."""
    before = noted(folder)
    tools = folder / "tools.py"
    text = tools.read_text()
    tools.unlink()
    assert replay(journal, Settings(workers=1)).difference is None
    tools.write_text(text)
    assert noted(folder) == before


def play(made: World, journal: Path) -> Any:
    with turnwise.run(made, journal=journal, workers=1) as run:
        assert run.status == "finished", run.message
        return run.result


def test_results_errors_and_lists_come_to_the_agent(tmp_path: Path) -> None:
    source = """
        def turn(t):
            found = {"tools": [tool.name for tool in t.tools()]}
            result = t.call("own.add", {"a": 1, "b": 2})
            found["add"] = [result.text, result.data]
            errors = []
            for name, args in (("own.fail", {}), ("own.nothing", {}), ("none.at_all", {}), ("own", {}),
                               ("own.add", {"a": "x"}), ("own.slow", {"what": "x"})):
                try:
                    t.call(name, args)
                except EffectError as error:
                    errors.append(error.kind)
            found["errors"] = errors
            several = t.call_all([("own.add", {"a": 1, "b": 1}), "own.fail"], return_errors=True)
            found["several"] = [getattr(one, "data", None) or one.kind for one in several]
            t.finish(found)
    """
    grants = Grants(call=["own.a*", "own.fail", "own.note"], finish=True)
    journal = tmp_path / "run.journal"
    assert play(world(tmp_path, source, grants=grants), journal) == {
        "tools": ["own.add", "own.again", "own.fail", "own.note"],
        "add": ['{"sum": 3}', {"sum": 3}],
        "errors": ["tool", "unknown_tool", "unknown_tool", "unknown_tool", "invalid", "denied"],
        "several": [{"sum": 2}, "tool"],
    }
    check_replay(journal, tmp_path)


def test_a_slow_call_parks_its_turn_and_others_go_on(tmp_path: Path) -> None:
    source = """
        def turn(t):
            results = t.call_all([("own.slow", {"what": "late"}), ("own.note", {"what": "soon"})])
            t.finish([[str(one) for one in results], t.round])
    """
    journal = tmp_path / "run.journal"
    with turnwise.start(world(tmp_path, source, park_after_ms=0), journal=journal, workers=1) as live:
        while live.progress().round < 5:
            live.step()
        assert noted(tmp_path) == ["soon"]
        assert "agent for the outcome of calling own.slow" in live.progress().waiting
        (tmp_path / "go").touch()
        run = live.result()
        assert run.result == [["noted late", "noted soon"], 1]
        parked = [turn for turn in run.turns if turn.agent == "agent"]
        assert [turn.round for turn in parked] == [6]
    assert noted(tmp_path) == ["soon", "late"]
    check_replay(journal, tmp_path)


def test_a_person_approves_a_call_before_it_is_made(tmp_path: Path) -> None:
    source = """
        def turn(t):
            found = []
            for what in ("one", "two"):
                try:
                    found.append(str(t.call("own.note", {"what": what})))
                except EffectError as error:
                    found.append(error.kind)
            t.finish([found, [tool.approve for tool in t.tools()]])
    """
    grants = Grants(call=["own.add", CallGrant(tool="own.note")], finish=True)
    journal = tmp_path / "run.journal"
    with turnwise.start(world(tmp_path, source, grants=grants), journal=journal, workers=1) as live:
        _step_until_asked(live)
        (asked,) = live.questions()
        assert asked.text == 'May agent call own.note with {"what":"one"}?'
        assert noted(tmp_path) == []
        assert live.answer(asked.id, True)
        _step_until_asked(live)
        assert noted(tmp_path) == ["one"]
        assert live.answer(live.questions()[0].id, False)
        assert live.result().result == [["noted one", "denied"], [False, True]]
    assert noted(tmp_path) == ["one"]
    check_replay(journal, tmp_path)


def _step_until_asked(live: Live) -> None:
    live.step()
    while not live.questions():
        live.step()


def test_calls_of_a_run_are_bounded(tmp_path: Path) -> None:
    source = """
        def turn(t):
            found = t.call_all([("own.add", {"a": n, "b": n}) for n in range(5)], return_errors=True)
            t.finish(sorted(getattr(one, "kind", "ok") for one in found))
    """
    made = world(tmp_path, source)
    bounded = World(**{**_members(made), "tools": {"own": Tools("python", {"path": "tools.py"}, calls_max=3)}})
    assert play(bounded, tmp_path / "run.journal") == ["ok"] * 3 + ["refused"] * 2
    check_replay(tmp_path / "run.journal", tmp_path)


def _members(made: World) -> dict[str, Any]:
    return {name: getattr(made, name) for name in ("name", "agents", "folder", "park_after_ms")}


def test_what_is_wrong_with_tools_is_said_before_a_run(tmp_path: Path) -> None:
    made = world(tmp_path, "def turn(t): ...", grants=Grants(call=["owm.add"]))
    with pytest.raises(WorldError, match='there is no tool server "owm"'):
        turnwise.run(made, journal=tmp_path / "run.journal")
    with pytest.raises(WorldError, match="path"):
        turnwise.run(
            World(**{**_members(world(tmp_path, "def turn(t): ...")), "tools": {"own": Tools("python", {"pat": "x"})}}),
            journal=tmp_path / "run.journal",
        )


def test_a_list_that_has_changed_is_named_and_taken_only_if_it_is_accepted(tmp_path: Path) -> None:
    source = """
        def turn(t):
            if t.turn == 1:
                t.wake_in(1)
            else:
                t.finish([tool.name for tool in t.tools()])
    """
    journal = tmp_path / "run.journal"
    with turnwise.start(world(tmp_path, source), journal=journal, workers=1) as live:
        live.step()
    tools = tmp_path / "tools.py"
    tools.write_text(TOOLS.replace("Add two numbers.", "Add numbers.").replace("def fail()", "def failed()"))
    with pytest.raises(JournalError, match="add has another description; fail is gone; failed is new"):
        turnwise.resume(journal, workers=1).result()
    with turnwise.resume(journal, workers=1, accept_tools=True).result() as run:
        assert "own.failed" in run.result
    assert replay(journal, Settings(workers=1)).difference is None


# -- crashes -----------------------------------------------------------------------------------------------------

CRASHING = KILLED_AT + textwrap.dedent(
    """
    journal = Path(sys.argv[3])
    if journal.exists():
        live = turnwise.resume(journal, workers=1)
    else:
        live = turnwise.start(sys.argv[4], journal=journal, workers=1)
    live.result().close()
    """
)

CALLING = """
    def turn(t):
        kinds = []
        for number, (tool, what) in enumerate([("note", "a"), ("again", "b"), ("slow", "c"), ("note", "d")]):
            try:
                t.call("own." + tool, {"what": what})
                kinds.append("ok")
            except EffectError as error:
                kinds.append(error.kind)
        several = t.call_all([("own.note", {"what": "e"}), ("own.again", {"what": "f"})], return_errors=True)
        t.finish(kinds + [getattr(one, "kind", "ok") for one in several])
"""

NAMES = "abcdef"
IDEMPOTENT = "bf"


def crashing_world(folder: Path, source: str = CALLING) -> None:
    world(folder, source)
    (folder / "world.toml").write_text(
        textwrap.dedent(
            """
            [world]
            name = "calls"
            park_after_ms = 5
            [tools.own]
            kind = "python"
            path = "tools.py"
            idempotent = ["again"]
            [agents.agent]
            source = "agent.py"
            start = true
            grants = { call = ["own"], finish = true }
            [agents.other]
            source = "other.py"
            start = true
            """
        )
    )


IN_SHORT = ("call: intent durable", "call: outcome here", "call: outcome durable", "call: parked")


@pytest.mark.parametrize(
    "point",
    [point if point in IN_SHORT else pytest.param(point, marks=pytest.mark.exhaustive) for point in CRASH_POINTS],
)
def test_a_crash_around_a_call_doubles_nothing_and_loses_nothing(tmp_path: Path, point: str) -> None:
    crashing_world(tmp_path)
    (tmp_path / "go").touch()
    (tmp_path / "crash.py").write_text(CRASHING)
    journal = tmp_path / "run.journal"
    killed = 0
    for number in (1, 2):
        arguments = [sys.executable, str(tmp_path / "crash.py"), point, str(number), str(journal), str(tmp_path)]
        ended = subprocess.run(arguments, capture_output=True, text=True, check=False)
        killed += ended.returncode == -signal.SIGKILL
        if ended.returncode == 0:
            break
        assert ended.returncode == -signal.SIGKILL, ended.stderr
    has_ended = ended.returncode == 0
    with turnwise.open(journal) if has_ended else turnwise.resume(journal, workers=1).result() as run:
        kinds = dict(zip(NAMES, run.result, strict=True))
    times = Counter(noted(tmp_path))
    for name in NAMES:
        if kinds[name] == "ok":
            assert times[name] == 1 or name in IDEMPOTENT, (name, times)
        else:
            assert kinds[name] == "unknown", kinds
            assert times[name] <= 1, (name, times)
            assert name not in IDEMPOTENT
    check_replay(journal, tmp_path)
    assert killed or point in ("call: parking", "call: park durable", "call: parked")


def test_a_parked_call_that_was_made_is_unknown_after_a_kill(tmp_path: Path) -> None:
    source = """
        def turn(t):
            try:
                t.finish(str(t.call("own.slow", {"what": "it"})))
            except EffectError as error:
                t.finish(error.kind)
    """
    crashing_world(tmp_path, source)
    (tmp_path / "crash.py").write_text(CRASHING)
    journal = tmp_path / "run.journal"
    arguments = [sys.executable, str(tmp_path / "crash.py"), "call: parked", "1", str(journal), str(tmp_path)]
    assert subprocess.run(arguments, capture_output=True, check=False).returncode == -signal.SIGKILL
    with turnwise.resume(journal, workers=1).result() as run:
        assert run.result == "unknown"
    assert noted(tmp_path) == []
    check_replay(journal, tmp_path)


# -- forks -------------------------------------------------------------------------------------------------------

FORKING = """
    def turn(t):
        if t.turn < 3:
            t.call_all([("own.note", {"what": f"turn-{t.turn}"})], return_errors=True)
            t.wake_in(1)
            return
        try:
            t.finish([str(t.call("own.slow", {"what": t.args.get("what", "last")})), str(t.call("own.note"))])
        except EffectError as error:
            t.finish(error.kind)
"""


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    """A run whose last call parked, and whose turn ended with an error."""
    journal = tmp_path / "run.journal"
    made = world(tmp_path, FORKING, park_after_ms=0)
    with turnwise.start(made, journal=journal, workers=1) as live:
        while not (len(noted(tmp_path)) == 2 and live.progress().round >= 5):
            live.step()
        (tmp_path / "go").touch()
        assert live.result().result == "invalid"
    assert noted(tmp_path) == ["turn-1", "turn-2", "last"]
    return journal


def test_a_fork_without_a_change_has_recorded_results_and_the_head_of_its_run(parent: Path, tmp_path: Path) -> None:
    (tmp_path / "tools.py").unlink()
    with turnwise.open(parent) as run:
        head, rounds = run.head, run.last_round
    for at in range(rounds):
        with turnwise.fork(parent, at, journal=tmp_path / f"fork-{at}.journal", workers=1).result() as fork:
            assert fork.head == head, at
    assert noted(tmp_path) == ["turn-1", "turn-2", "last"]


def test_a_call_that_the_run_has_not_made_is_unavailable_in_its_fork(parent: Path, tmp_path: Path) -> None:
    changed = {"overrides": ['agents.agent.args={ what = "else" }'], "journal": tmp_path / "fork.journal", "workers": 1}
    with turnwise.fork(parent, 0, **changed).result() as fork:
        assert fork.result == "unavailable"
    assert noted(tmp_path) == ["turn-1", "turn-2", "last"]
    check_replay(tmp_path / "fork.journal", tmp_path)


def test_a_fork_calls_after_it_began_if_it_is_told_so(parent: Path, tmp_path: Path) -> None:
    with turnwise.fork(parent, 1, tools="live", journal=tmp_path / "fork.journal", workers=1).result() as fork:
        assert fork.result == "invalid"
    assert noted(tmp_path) == ["turn-1", "turn-2", "last", "turn-2", "last"]


def test_a_fork_can_deny_calls_also_when_it_is_resumed(parent: Path, tmp_path: Path) -> None:
    forked = tmp_path / "fork.journal"
    with turnwise.open(parent) as run:
        at = next(turn.round for turn in run.turns if turn.agent == "agent" and turn.turn == 1)
    with turnwise.fork(parent, at, tools="deny", journal=forked, workers=1) as live:
        live.step()
    with turnwise.resume(forked, workers=1).result() as fork:
        assert fork.result == "denied"
    assert noted(tmp_path) == ["turn-1", "turn-2", "last"]
    with pytest.raises(turnwise.UsageError, match="way"):
        turnwise.fork(parent, 2, tools="perhaps", journal=tmp_path / "other.journal")  # type: ignore[arg-type]


def test_a_list_that_changes_while_a_run_goes_on_ends_the_round(tmp_path: Path) -> None:
    source = """
        def turn(t):
            try:
                t.call("own.die")
            except EffectError:
                t.call("own.add", {"a": 1, "b": 2})
    """
    made = world(tmp_path, source)
    tools = (
        TOOLS
        + "\ndef die() -> None:\n    (HERE / 'tools.py').write_text('def add(a: int) -> int: ...')\n    os._exit(1)\n"
    )
    (tmp_path / "tools.py").write_text(tools)
    with pytest.raises(JournalError, match="add has another description"):
        turnwise.run(made, journal=tmp_path / "run.journal", workers=1)


# -- other ways to play ------------------------------------------------------------------------------------------

APPROVED = """
    def turn(t):
        found = [t.call("own.add", {"a": 1, "b": 2}).data, str(t.call("own.note", {"what": "it"}))]
        t.finish(found)
"""


def test_agents_without_a_sandbox_call_tools(tmp_path: Path) -> None:
    made = world(tmp_path, APPROVED, grants=Grants(call=["own.add", CallGrant(tool="own.note")], finish=True))
    asked = []

    def person(question: AskedQuestion) -> bool:
        asked.append(question.text)
        return True

    end = run_native(made, people=person).end
    assert end.result == '[{"sum":3},"noted it"]'
    assert asked == ['May agent call own.note with {"what":"it"}?']
    assert noted(tmp_path) == ["it"]


def test_the_runs_of_a_sweep_have_servers_of_their_own(tmp_path: Path) -> None:
    source = """
        def turn(t):
            t.finish(str(t.call("own.note", {"what": f"{t.random.random()}"})))
    """
    made = world(tmp_path, source, park_after_ms=0)
    folder = tmp_path / "journals"
    swept = turnwise.sweep(made, seeds=[1, 2, 3], journals=folder, jobs=3, workers=1)
    assert [run.status for run in swept.runs] == ["finished"] * 3
    assert sorted(str(run.result) for run in swept.runs) == sorted(f"noted {what}" for what in noted(tmp_path))
    again = turnwise.sweep(made, seeds=[1, 2, 3], journals=folder, workers=1)
    assert [run.head for run in again.runs] == [run.head for run in swept.runs]
    assert len(noted(tmp_path)) == 3
    for journal in folder.glob("*.journal"):
        check_replay(journal, tmp_path)


def test_a_call_stands_in_the_log_with_what_came_of_it(tmp_path: Path) -> None:
    source = """
        def turn(t):
            t.call("own.note", {"what": "it"})
            t.call_all(["own.fail"], return_errors=True)
            t.finish()
    """
    play(world(tmp_path, source), tmp_path / "run.journal")
    told = subprocess.run(
        [sys.executable, "-m", "turnwise", "log", str(tmp_path / "run.journal")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    lines = [" ".join(line.split()) for line in told.splitlines()]
    assert any(line.startswith('calls own.note {"what": "it"}') for line in lines)
    assert any(line.startswith('result "noted it"') for line in lines)
    assert any(line.startswith("refused tool: ValueError: no") for line in lines)
