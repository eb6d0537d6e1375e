"""Code that agents have executed: in sandboxes of its own, within bounds, and again when the run is replayed."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

import turnwise
from turnwise import Agent, Grants, World
from turnwise.errors import UsageError
from turnwise.journal.run import Run

CALLER = """
from turnwise_guest import EffectError

def turn(t):
    try:
        found = [t.run_python(code, t.args.get("input")) for code in t.args["codes"]]
    except EffectError as error:
        t.state = {"error": error.kind, "message": error.message}
        return
    t.state = [[one.value, one.stdout, one.failure, one.error] for one in found]
"""

MANY = """
def turn(t):
    found = t.run_python_all([(f"import time\\ninput * {n}", 7) for n in range(t.args["n"])])
    t.state = [one.value for one in found]
"""


def world(*codes: str, source: str = CALLER, **options: Any) -> World:
    given = options.pop("input", None)
    grants = options.pop("grants", Grants(run_python=True))
    args = {"codes": list(codes), "input": given, **options.pop("args", {})}
    return World(name="runs", agents={"caller": Agent(source, args=args, start=True, grants=grants, **options)})


def state(run: Run) -> Any:
    return json.loads(run.state("caller"))


def result(tmp_path: Path, *codes: str, **options: Any) -> list[Any]:
    """The (value, stdout, failure, error) of each code."""
    found = state(turnwise.run(world(*codes, **options), journal=tmp_path / "run.journal"))
    assert isinstance(found, list), found
    return found


def test_the_value_of_the_last_expression_comes_back_with_what_was_printed(tmp_path: Path) -> None:
    code = "import math\nprint('working')\n{'root': math.isqrt(input['n'])}"
    assert result(tmp_path, code, "x = 1", "", "print(input)", input={"n": 17}) == [
        [{"root": 4}, "working\n", None, None],
        [None, "", None, None],
        [None, "", None, None],
        [None, "{'n': 17}\n", None, None],
    ]


def test_what_code_raises_is_told_with_its_own_lines_and_does_not_fail_the_turn(tmp_path: Path) -> None:
    raised, syntax, left, gone = result(tmp_path, "def f():\n    return 1 / 0\n\nf()", "x = (", "1, {2}", "exit(3)")
    assert raised[2] == "raised"
    assert 'File "code.py", line 2, in f' in raised[3]
    assert "return 1 / 0" in raised[3]
    assert raised[3].endswith("ZeroDivisionError: division by zero")
    assert "turnwise_guest" not in raised[3]
    assert syntax[2] == "raised"
    assert "SyntaxError" in syntax[3]
    assert left[2] == "output"
    assert "a set" in left[3]
    assert gone[2] == "raised"


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        ("while True: pass", "fuel"),
        ("x = bytearray(1 << 30)", "memory"),
        ("'x' * (1 << 20)", "output_size"),
        ('import wit_world\nwit_world.effect(\'{"effect":"generate"}\')', "effects"),
    ],
)
def test_bounds_are_those_of_a_turn_and_end_the_code_alone(tmp_path: Path, code: str, failure: str) -> None:
    first, second = result(tmp_path, code, "1 + 1", output_mib=1)
    assert first[2] == failure
    assert first[3]
    assert second == [2, "", None, None]


def test_each_call_has_a_sandbox_of_its_own(tmp_path: Path) -> None:
    assert result(tmp_path, "import sys\nsys.kept = 1", "import sys\nhasattr(sys, 'kept')")[1][0] is False


def test_code_can_change_what_executes_it_and_forge_no_more_than_its_own_result(tmp_path: Path) -> None:
    code = """
import sys
frame = sys._getframe()
while frame:
    t = frame.f_locals.get("t")
    if t is not None and hasattr(t, "send"):
        t.send("caller", "forged")
        t.finish("forged")
    frame = frame.f_back
"""
    run = turnwise.run(world(code), journal=tmp_path / "run.journal")
    assert run.status == "quiet"
    assert not list(run.messages)


def test_a_result_of_another_form_is_an_error(tmp_path: Path) -> None:
    code = 'import turnwise_guest.turn as t\nt.canonical = lambda *_: \'{"value":1,"more":2}\'\n5'
    assert result(tmp_path, code)[0][2] == "output"


def test_chance_and_clocks_are_the_runs_own(tmp_path: Path) -> None:
    code = "import random, time, datetime\n[random.random(), time.time(), str(datetime.datetime.now())]"
    one = result(tmp_path, code, code)
    (tmp_path / "again").mkdir()
    assert result(tmp_path / "again", code, code) == one
    assert one[0][0][0] != one[1][0][0]


def test_without_the_grant_it_is_denied(tmp_path: Path) -> None:
    run = turnwise.run(world("1", grants=Grants()), journal=tmp_path / "run.journal")
    assert state(run)["error"] == "denied"
    assert "grants.run_python" in state(run)["message"]


def test_many_at_once_come_back_in_order(tmp_path: Path) -> None:
    made = world(source=MANY, args={"n": 20})
    run = turnwise.run(made, journal=tmp_path / "run.journal", workers=2)
    assert state(run) == [7 * n for n in range(20)]


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "run.journal"
    turnwise.run(world("input + 1", "1 / 0", "print('x')", "while True: pass", input=1), journal=path)
    return path


def test_a_replay_executes_it_again_and_takes_nothing_from_the_journal(journal: Path) -> None:
    replayed = turnwise.replay(journal)
    assert replayed.difference is None
    assert replayed.unproved == ()
    verified = turnwise.verify(journal)
    assert verified.difference is None
    assert verified.unproved == ()


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_reply_that_was_forged_is_found(journal: Path, tmp_path: Path, number: int) -> None:
    """The control of the replay: it would pass if replies were taken as they are recorded."""
    forged = tmp_path / "forged.journal"
    forged.write_bytes(journal.read_bytes())
    connection = sqlite3.connect(forged)
    connection.execute('UPDATE effects SET reply = \'{"ok":{"stdout":"","value":99}}\' WHERE nr = ?', (number,))
    connection.commit()
    connection.close()
    assert turnwise.replay(forged).difference is not None


def test_what_executes_it_is_named_by_the_plan_and_kept_in_the_journal(journal: Path) -> None:
    with turnwise.open(journal) as run:
        assert run.plan.run_python is not None
        assert [kind.grants.run_python for kind in run.plan.kinds] == [True]


def test_a_run_that_was_stopped_goes_on_with_it(tmp_path: Path) -> None:
    source = "def turn(t):\n    t.state = [*(t.state or []), t.run_python('input * 2', t.round).value]\n"
    source += "    t.wake_in(1)\n"
    made = World(
        name="on",
        rounds_max=6,
        agents={"caller": Agent(source, start=True, grants=Grants(run_python=True))},
    )
    whole = turnwise.run(made, journal=tmp_path / "whole.journal")
    with made.start(journal=tmp_path / "part.journal") as live:
        live.step()
        live.step()
    resumed = turnwise.resume(tmp_path / "part.journal").result()
    assert resumed.head == whole.head
    assert state(resumed) == [2, 4, 6, 8, 10, 12]


def test_a_fork_can_take_the_grant_away_and_not_invent_it(tmp_path: Path) -> None:
    source = "def turn(t):\n    t.state = t.round\n    t.wake_in(1)\n"
    plain = World(name="plain", rounds_max=4, agents={"caller": Agent(source, start=True)})
    turnwise.run(plain, journal=tmp_path / "plain.journal")
    with pytest.raises(UsageError, match="only where the run has granted it"):
        turnwise.fork(tmp_path / "plain.journal", 1, overrides=["agents.caller.grants.run_python=true"]).result()
