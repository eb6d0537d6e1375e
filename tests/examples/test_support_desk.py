"""The support desk: letters that are answered, with tools of the world and a person who approves what is paid."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

import turnwise
from tests.examples.played import play, play_with_kills, step
from turnwise.journal.run import Run
from turnwise.orchestrator.crash_points import CRASH_POINTS

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "support-desk"
FLICKERS = "A lamp that flickers has a loose bulb: switch it off, let it cool, and turn the bulb to the right."
ANSWERS = {
    "customer-1": "For the lamp, 40.00 are on their way.",
    "customer-2": "We cannot pay back the table: a colleague has said no.",
    "customer-3": FLICKERS,
    "customer-4": "We cannot find it: ValueError: there is no order A-99.",
}
INTERRUPTED = "We have been interrupted, and look whether it was paid."


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A copy of the world, which notes what it pays."""
    return Path(shutil.copytree(EXAMPLE, tmp_path / "desk"))


def paid(desk: Path) -> list[str]:
    path = desk / "paid.txt"
    return path.read_text().splitlines() if path.exists() else []


def check_replay(journal: Path, desk: Path) -> None:
    """Replay with every server absent: their folder and their module are gone."""
    before = paid(desk)
    for name in ("desk.py", "knowledge"):
        (desk / name).rename(desk / f"{name}.gone")
    with turnwise.open(journal) as run:
        head = run.head
    replayed = turnwise.replay(journal)
    assert (replayed.difference, replayed.head) == (None, head)
    assert paid(desk) == before


def test_letters_are_answered_and_only_what_is_approved_is_paid(desk: Path, tmp_path: Path) -> None:
    journal = tmp_path / "a.journal"
    asked: list[str] = []
    with turnwise.start(desk, journal=journal, workers=1) as live:
        more = True
        while more:
            asked += [question.text for question in live.questions()]
            more = step(live)
        with live.result() as run:
            assert (run.status, run.result, len(run.failures)) == ("finished", ANSWERS, 0)
    assert asked == [
        'May billing call desk.pay_back with {"amount":40.0,"order":"A-17"}?',
        'May billing call desk.pay_back with {"amount":90.0,"order":"A-23"}?',
    ]
    assert paid(desk) == ["A-17 40.00"]
    check_replay(journal, desk)


@pytest.mark.skipif(sys.platform != "linux", reason="kills processes")
def test_it_survives_kill_9_at_any_round(desk: Path, tmp_path: Path) -> None:
    journal = tmp_path / "a.journal"
    assert play_with_kills(desk, journal, 1) >= 3
    with turnwise.open(journal) as run:
        assert run.status == "finished"
        assert_nothing_lost(run, desk)
    check_replay(journal, desk)


def assert_nothing_lost(run: Run, desk: Path) -> None:
    """What was answered is as ever, but for a payment in whose middle the run was killed; none was made twice."""
    first = run.result["customer-1"]
    assert {**run.result, "customer-1": first} == {**ANSWERS, "customer-1": first}
    assert first in (ANSWERS["customer-1"], INTERRUPTED)
    assert paid(desk) in (["A-17 40.00"], []) if first == INTERRUPTED else paid(desk) == ["A-17 40.00"]


CRASHING = """
import os, signal, sys
from pathlib import Path
from tests.examples.played import play
from turnwise.orchestrator import crash_points

left = int(sys.argv[4])

def tell(reached):
    global left
    left -= reached == sys.argv[3]
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

crash_points.tell_of_points(tell)
play(Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="kills processes")
@pytest.mark.parametrize("point", ["call: intent durable", "call: outcome here", "call: outcome durable"])
def test_it_survives_kill_9_within_calls(point: str, desk: Path, tmp_path: Path) -> None:
    assert point in CRASH_POINTS
    journal = tmp_path / "a.journal"
    root = Path(__file__).resolve().parents[2]
    paths = os.pathsep.join([str(root), str(root / "src")])
    killed = 0
    for number in (2, 3, 1, 1):  # calls after which each process is killed; the last goes to the end
        command = [sys.executable, "-c", CRASHING, str(desk), str(journal), point, str(number)]
        done = subprocess.run(command, cwd=root, env=os.environ | {"PYTHONPATH": paths}, check=False)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        killed += 1
    if not ended(journal):
        play(desk, journal)
    assert killed
    with turnwise.open(journal) as run:
        assert_nothing_lost(run, desk)
    check_replay(journal, desk)


def ended(journal: Path) -> bool:
    with turnwise.open(journal) as run:
        return run.status != "open"


def test_with_a_real_model_calls_follow_their_schemas(desk: Path, tmp_path: Path) -> None:
    """What a small model answers is its own matter; what it calls is held to the schemas, and there is nothing else."""
    named = os.environ.get("TURNWISE_TEST_INSTRUCT_MODEL")
    if not named:
        pytest.skip("no instruct model is named: set TURNWISE_TEST_INSTRUCT_MODEL to the folder of one")
    journal = tmp_path / "a.journal"
    with turnwise.start(
        desk / "with-model.toml", models={"assistant": Path(named)}, journal=journal, workers=1
    ) as live:
        while step(live):
            pass
        with live.result() as run:
            assert (run.status, len(run.failures)) == ("finished", 0)
            requests = [json.loads(effect.request) for turn in run.turns for effect in turn.effects]
    asked = [request for request in requests if request["effect"] == "generate"]
    called = [request for request in requests if request["effect"] == "call"]
    schemas = {tool["name"]: tool["parameters"] for request in asked for tool in request["tools"]}
    assert called
    for request in called:
        jsonschema.validate(request["args"], schemas[request["tool"]])
    check_replay(journal, desk)
