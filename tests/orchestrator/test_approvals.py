"""A run that is killed around the approval of a call, at each stage: real processes, and a server that counts."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest

import turnwise
from tests.orchestrator.crashing import KILLED_AT
from tests.orchestrator.test_calls import check_replay, noted, world
from turnwise.orchestrator.crash_points import CRASH_POINTS
from turnwise.world import CallGrant, Grants

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kills processes")

PROGRAM = KILLED_AT + textwrap.dedent(
    """
    person = sys.argv[3]
    journal = Path(sys.argv[4])
    if journal.exists():
        live = turnwise.resume(journal, workers=1)
    else:
        live = turnwise.start(sys.argv[5], journal=journal, workers=1)
    with live:
        while (came := live.step()) is not turnwise.NoRound.OVER:
            if came is turnwise.NoRound.WAITING and person == "here" and live.questions():
                tell("approval: asked")
                live.answer(live.questions()[0].id, "two" not in live.questions()[0].text)
                tell("approval: answered")
            elif came is turnwise.NoRound.WAITING and live.questions():
                tell("approval: asked")
                break
    """
)

AGENT = """
    def turn(t):
        found = []
        for tool, what in (("note", "one"), ("note", "two"), ("again", "three"), ("note", "four")):
            try:
                found.append(str(t.call("own." + tool, {"what": what})))
            except EffectError as error:
                found.append(error.kind)
        t.finish(found)
"""
APPROVED = ["noted one", "denied", "noted three", "noted four"]
IDEMPOTENT = 2
POINTS = ["approval: asked", "approval: answered", *[point for point in CRASH_POINTS if "park" not in point]]
FROM_ELSEWHERE = ["approval: asked", "call: asked", "call: outcome durable"]
IN_SHORT = [("approval: answered", "here"), ("call: intent durable", "here"), ("call: outcome durable", "elsewhere")]
AT_LENGTH = [*((point, "here") for point in POINTS), *((point, "elsewhere") for point in FROM_ELSEWHERE)]
PROCESSES_MAX = 20


def make_world(folder: Path) -> None:
    folder.mkdir()
    world(folder, AGENT, grants=Grants(call=["own.again", CallGrant(tool="own.note")], finish=True))
    (folder / "program.py").write_text(PROGRAM)
    (folder / "world.toml").write_text(
        textwrap.dedent(
            """
            [world]
            name = "calls"
            park_after_ms = 60000
            [tools.own]
            kind = "python"
            path = "tools.py"
            idempotent = ["again"]
            [agents.agent]
            source = "agent.py"
            start = true
            grants = { call = [
              { tool = "own.again", approve = true }, { tool = "own.note", approve = true }
            ], finish = true }
            [agents.other]
            source = "other.py"
            start = true
            """
        )
    )


def played(folder: Path, point: str, person: str, kills: int) -> tuple[int, Path]:
    """Play a run, whose processes are killed a number of times at a point, and whose person may be another process."""
    journal = folder / "run.journal"
    killed = 0
    for _ in range(PROCESSES_MAX):
        number = killed + 1 if killed < kills else 0
        arguments = [str(folder / "program.py"), point, str(number), person, str(journal), str(folder)]
        ended = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
        assert ended.returncode in (0, -signal.SIGKILL), ended.stderr
        killed += ended.returncode == -signal.SIGKILL
        with turnwise.open(journal) as run:
            if run.status == "finished":
                return killed, journal
            questions = run.questions if person == "elsewhere" else []
        for asked in questions:
            value = "false" if "two" in asked.text else "true"
            command = [sys.executable, "-m", "turnwise", "answer", str(journal), str(asked.id), value]
            told = subprocess.run(command, capture_output=True, text=True, check=False)
            is_kept = told.returncode == 1 and "was answered before" in told.stdout  # and will be taken again
            assert told.returncode == 0 or is_kept, told.stderr
    raise AssertionError(f"the run has not ended after {PROCESSES_MAX} processes")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Head of the run that nothing disturbs."""
    folder = tmp_path_factory.mktemp("whole") / "world"
    make_world(folder)
    killed, journal = played(folder, "", "here", 0)
    with turnwise.open(journal) as run:
        assert (killed, run.result) == (0, APPROVED)
        assert noted(folder) == ["one", "three", "four"]
        return run.head


@pytest.mark.parametrize(
    ("point", "person"),
    [*IN_SHORT, *(pytest.param(*one, marks=pytest.mark.exhaustive) for one in AT_LENGTH if one not in IN_SHORT)],
)
def test_a_kill_around_an_approval_doubles_nothing_and_loses_nothing(
    point: str, person: str, whole: str, tmp_path: Path
) -> None:
    folder = tmp_path / "world"
    make_world(folder)
    killed, journal = played(folder, point, person, 2)
    assert killed
    with turnwise.open(journal) as run:
        result, head = run.result, run.head
    times = Counter(noted(folder))
    assert result[1] == "denied"
    assert times["two"] == 0
    for number, (name, reply) in enumerate(zip(("one", "two", "three", "four"), result, strict=True)):
        if reply == APPROVED[number]:
            assert times[name] == (0 if name == "two" else 1) or number == IDEMPOTENT, (name, times)
        else:
            assert (reply, number == IDEMPOTENT) == ("unknown", False), result
            assert times[name] <= 1, (name, times)
    may_be_unknown = point in ("call: intent durable", "call: outcome here")
    assert may_be_unknown or result == APPROVED
    assert (head == whole) == (result == APPROVED)
    check_replay(journal, folder)


def test_killed_between_intent_and_outcome_an_approved_call_is_not_asked_for_again(tmp_path: Path) -> None:
    """Control: that a call is unknown shows in the result, and it is neither made nor asked for a second time."""
    folder = tmp_path / "world"
    make_world(folder)
    killed, journal = played(folder, "call: intent durable", "here", 1)
    assert killed == 1
    with turnwise.open(journal) as run:
        assert run.result == ["unknown", *APPROVED[1:]]
        assert len(list(run.asked)) == 4
    assert noted(folder) == ["three", "four"]
