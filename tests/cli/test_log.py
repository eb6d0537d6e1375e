"""`turnwise log`: complete, filtered, streamed, and harmless whatever the journal holds."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Command
from tests.cli.journals import CODES, EVIL, EVIL_SHOWN, evil_plan, play, write
from tests.history.forger import changed, rechained
from tests.orchestrator.worlds import calling_run
from turnwise.core.plan import AgentPlan, Kind
from turnwise.core.plan_json import plan_to_json
from turnwise.core.records import WaveRecord
from turnwise.core.state import first_agents
from turnwise.journal import Journal, RoundTimes, Span
from turnwise.sim import simulate
from turnwise.visible_text import visible


def test_everything_that_happened_is_told(command: Command, evil_journal: Path) -> None:
    ended = command("log", evil_journal)
    assert ended.code == 0
    assert ended.err == ""
    for line in (
        f"evil {EVIL_SHOWN}: finished: an agent called finish",
        f"  input     to listener-1: begin {EVIL_SHOWN}",
        "  talker  turn 1, fuel 3, 3 executions",
        f"    read      outside: begin {EVIL_SHOWN}",
        f"    refused   context_full: too long {EVIL_SHOWN}",
        f"    log       warning: log {EVIL_SHOWN}",
        f"    record    price {EVIL_SHOWN} = 3.5",
        f"    sent      to listeners: answer {EVIL_SHOWN}",
        "    sent      to nobody: hello?  (dead letter: nobody has it)",
        "    wakes in  1 round",
        "    state     + told: 1",
        "  talker  turn 2, fuel 1  failed",
        "    failed    raised: ValueError: no more",
        "  stopped   child",
    ):
        assert f"{line}\n" in ended.out


def test_nothing_that_is_shown_acts(command: Command, evil_journal: Path) -> None:
    for arguments in (["log", evil_journal], ["log", evil_journal, "--json"], ["resume", evil_journal]):
        ended = command(*arguments)
        assert ended.code == 0
        assert visible(ended.out, lines=True) == ended.out
        assert visible(ended.err, lines=True) == ended.err


def test_json_is_one_object_with_everything(command: Command, evil_journal: Path) -> None:
    ended = command("log", evil_journal, "--json")
    value = json.loads(ended.out)
    assert value.keys() >= {"head", "rounds", "turns", "status", "result", "journal", "log"}
    assert (value["rounds"], value["turns"], value["status"]) == (4, 10, "finished")
    assert value["result"] == {"said": EVIL}
    assert len(value["log"]) == 4
    first = value["log"][0]["turns"][0]
    assert first["effects"][0]["request"]["prompt"] == f"Say {EVIL}"
    assert first["effects"][1]["reply"]["error"]["message"] == f"too long {EVIL}"
    assert first["sent"][0] == {
        "seq": 1, "round": 1, "from": "talker", "to": "listeners", "body": f"answer {EVIL}", "recipients": 3
    }  # fmt: skip
    assert first["spawned"] == [{"agent": "child", "kind": "listener", "args": {"evil": EVIL}}]
    failed = value["log"][1]["turns"][0]
    assert failed["failure"] == {"class": "raised", "message": f"ValueError: no more\n{EVIL}"}
    assert failed["state_before"] == failed["state_after"] == '{"told":1}'


def turns(value: Any) -> list[tuple[int, str]]:
    return [(told["round"], turn["agent"]) for told in value["log"] for turn in told["turns"]]


def test_filters_combine(command: Command, evil_journal: Path) -> None:
    def logged(*filters: str) -> list[tuple[int, str]]:
        return turns(json.loads(command("log", evil_journal, "--json", *filters).out))

    assert logged("--agent", "talker") == [(1, "talker"), (2, "talker")]
    assert logged("--round", "2") == [(2, "talker"), (2, "listener-1"), (2, "listener-2"), (2, "child")]
    assert logged("--agent", "talker", "--round", "2") == [(2, "talker")]
    assert logged("--agent", "talker", "--round", "3") == []


def test_a_filtered_turn_is_told_like_in_the_whole(command: Command, evil_journal: Path) -> None:
    whole = json.loads(command("log", evil_journal, "--json").out)
    for told in whole["log"]:
        for turn in told["turns"]:
            filters = ("--agent", turn["agent"], "--round", str(told["round"]))
            alone = json.loads(command("log", evil_journal, "--json", *filters).out)
            assert [t for r in alone["log"] for t in r["turns"]] == [turn]


def test_an_agent_without_a_turn_in_the_round(command: Command, evil_journal: Path) -> None:
    ended = command("log", evil_journal, "--agent", "talker", "--round", "4")
    assert ended.code == 0
    assert "talker has no turn in round 4." in ended.out


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        (["--agent", "listner-1"], "--agent: there is no agent 'listner-1' in this run\n  Did you mean listener-1"),
        (["--agent", "xyz\x1b[1m"], "The run has: talker, listener-1, listener-2, child."),
        (["--round", "99"], "there is no round 99"),
        (["--round", "0"], "--round"),
        (["--round", "one"], "--round"),
    ],
)
def test_unknown_filters(command: Command, evil_journal: Path, filters: list[str], message: str) -> None:
    ended = command("log", evil_journal, *filters)
    assert ended.code == 2
    assert ended.out == ""
    assert message in ended.err
    assert visible(ended.err, lines=True) == ended.err


def test_a_run_that_has_not_begun(command: Command, tmp_path: Path) -> None:
    plan = evil_plan()
    journal = write(tmp_path / "run.journal", plan, play(plan, rounds=0))
    assert "Nobody has a turn." in command("log", journal).out
    assert json.loads(command("log", journal, "--json").out)["log"] == []


def test_rounds_in_which_nobody_moves_are_left_out(command: Command, tmp_path: Path) -> None:
    """A wake-up may be many rounds away; the rounds between have no turns and are not committed."""
    plan = replace(evil_plan(), name="w", kinds=(Kind("a", "c0" * 32, start=True),), agents=(AgentPlan("a", "a"),))
    plan = replace(plan, messages=(), models=(), rounds_max=20)
    run = simulate(plan, {"a": lambda turn, effect: {"state": "", "wake_in": 5}})
    journal = write(tmp_path / "run.journal", plan, run)
    assert turns(json.loads(command("log", journal, "--json").out)) == [(1, "a"), (6, "a"), (11, "a"), (16, "a")]
    assert "Nobody has a turn in round 3." in command("log", journal, "--round", "3").out
    summary = command("resume", journal)
    assert "w: ended at its bound of 20 rounds\n  rounds    4, the last is round 16\n" in summary.out


@pytest.mark.parametrize("content", [b"", b"no journal", b"SQLite format 3\0" + b"x" * 500])
def test_a_file_that_is_no_journal(command: Command, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "foreign\x1b[31m.journal"
    path.write_bytes(content)
    for arguments in (["log", path], ["resume", path], ["replay", path]):
        ended = command(*arguments)
        assert ended.code == 2, ended.err
        assert ended.out == ""
        assert "foreign\\e[31m.journal" in ended.err
        assert path.read_bytes() == content


def test_a_missing_journal(command: Command, tmp_path: Path) -> None:
    for arguments in (["log", "--json"], ["resume", "--json"], ["replay", "--json"]):
        ended = command(*arguments, tmp_path / "none.journal")
        assert ended.code == 2
        value = json.loads(ended.out)
        assert value["error"]["exit"] == 2
        assert value["head"] is None


def test_damage_that_shows_on_the_way_still_leaves_one_object(command: Command, evil_journal: Path) -> None:
    with sqlite3.connect(evil_journal) as connection:
        connection.execute("PRAGMA ignore_check_constraints = 1")
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f'DROP TRIGGER "{name}"')
        connection.execute("UPDATE rounds SET turns = 99 WHERE round = 3")
    connection.close()
    ended = command("log", evil_journal, "--json")
    assert ended.code == 2
    value = json.loads(ended.out)
    assert all(told["round"] < 3 for told in value["log"])
    assert "round 3" in value["error"]["message"]
    assert "damaged" in ended.err


def test_a_reader_that_went_away(evil_journal: Path) -> None:
    read, write_end = os.pipe()
    os.close(read)
    ended = subprocess.run(
        [sys.executable, "-m", "turnwise", "log", str(evil_journal)],
        stdout=write_end, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
    )  # fmt: skip
    os.close(write_end)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_full_disk_under_stdout_is_an_error(evil_journal: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with full.open("w") as stream:
        ended = subprocess.run(
            [sys.executable, "-m", "turnwise", "log", str(evil_journal)],
            stdout=stream, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert ended.returncode == 1
    assert "No space left on device" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_what_a_model_answered_together_is_told(command: Command, tmp_path: Path) -> None:
    run = play(evil_plan())
    first = run.rounds[0]
    plan = '{"rows_max":2,"threads":1}'
    waves = (WaveRecord(1, "m", ((0, 0),), plan), WaveRecord(2, "m", ((0, 1),), plan))
    assert {effect.model for turn in first.turns for effect in turn.effects} == {"m"}
    run.rounds[0] = replace(first, waves=waves)
    versions = {"models": {"m": {"numeric": {"numeric_class": "plan-bound"}}, "other": {"numeric": None}}}
    path = rechained(write(tmp_path / "waves.journal", evil_plan(), run, versions=json.dumps(versions)))
    ended = command("log", path)
    assert "  wave 1    m answered 1 request of 1 agent together\n" in ended.out
    assert "  wave 2    m answered 1 request of 1 agent together\n" in ended.out
    value = json.loads(command("log", path, "--json").out)
    assert value["numeric_classes"] == {"m": "plan-bound"}
    assert value["log"][1]["waves"] == []
    assert value["log"][0]["waves"] == [
        {"wave": n + 1, "model": "m", "requests": [{"agent": "talker", "index": n}], "plan": json.loads(plan)}
        for n in range(2)
    ]
    assert "  model     m is plan-bound: its answers depend on what runs beside what" in command("resume", path).out


@pytest.mark.parametrize("versions", ["7", "[]", '{"models":7}', '{"models":{"m":{"numeric":{}}}}', "x", "[" * 50_000])
def test_a_damaged_note_of_versions_is_an_error(command: Command, tmp_path: Path, versions: str) -> None:
    path = write(tmp_path / "a.journal", evil_plan(), play(evil_plan()), versions=versions)
    ended = command("log", path, "--json")
    assert ended.code != 0
    assert "the journal is damaged: versions of a writer" in ended.err


def test_failed_turns_alone(command: Command, evil_journal: Path) -> None:
    ended = command("log", evil_journal, "--failed")
    assert "  talker  turn 2, fuel 1  failed\n" in ended.out
    assert "turn 1," not in ended.out
    assert "input" not in ended.out
    assert turns(json.loads(command("log", evil_journal, "--failed", "--json").out)) == [(2, "talker")]
    assert "listener-1 has no failed turn." in command("log", evil_journal, "--failed", "--agent", "listener-1").out


def test_logs_from_a_level_on(command: Command, evil_journal: Path) -> None:
    ended = command("log", evil_journal, "--level", "warning")
    assert ended.out.splitlines()[0] == f"round 1  talker  warning: log {EVIL_SHOWN}"
    assert all(line.startswith("not proved: ") for line in ended.out.splitlines()[1:])
    assert command("log", evil_journal, "--level", "debug").out == ended.out
    none = command("log", evil_journal, "--level", "error")
    assert none.out.startswith("Nobody has logged anything of level error or above.\n")
    wrong = command("log", evil_journal, "--level", "loud")
    assert wrong.code == 2
    assert "--level" in wrong.err


def test_without_fuel_there_is_nothing_that_equal_runs_differ_in(command: Command, evil_journal: Path) -> None:
    ended = command("log", evil_journal, "--no-fuel")
    assert "  talker  turn 1\n" in ended.out
    assert "fuel" not in ended.out
    assert "execution" not in ended.out
    value = json.loads(command("log", evil_journal, "--no-fuel", "--json").out)
    assert not {"fuel", "executions"} & value["log"][0]["turns"][0].keys()


def test_a_run_is_followed_to_its_end(tmp_path: Path) -> None:
    plan = evil_plan()
    run = play(plan)
    path = tmp_path / "followed.journal"
    with Journal.create(
        path, plan=plan_to_json(plan), info="{}", versions="{}", codes=CODES, agents=first_agents(plan)
    ) as journal:
        journal.writer.commit(run.rounds[0])
        following = subprocess.Popen(
            [sys.executable, "-m", "turnwise", "log", str(path), "--follow"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
        )  # fmt: skip
        assert following.stdout is not None
        for line in following.stdout:
            if line == "round 1\n":
                break
        for record in run.rounds[1:]:
            journal.writer.commit(record)
        assert run.end is not None
        journal.writer.end(run.end)
        rest = following.stdout.read()
    assert following.wait(60) == 0
    assert [line for line in rest.splitlines() if line.startswith("round ")] == ["round 2", "round 3", "round 4"]
    assert "  child  turn 1, fuel" in rest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_following_ends_with_the_code_of_the_signal(tmp_path: Path, number: signal.Signals) -> None:
    plan = evil_plan()
    path = tmp_path / "open.journal"
    with Journal.create(
        path, plan=plan_to_json(plan), info="{}", versions="{}", codes=CODES, agents=first_agents(plan)
    ) as journal:
        journal.writer.commit(play(plan).rounds[0])
    following = subprocess.Popen(
        [sys.executable, "-m", "turnwise", "log", str(path), "--follow"], stdout=subprocess.PIPE, text=True
    )
    with following:
        assert following.stdout is not None
        assert following.stdout.readline()
        following.send_signal(number)
        assert following.wait(60) == 128 + number


def test_what_cannot_be_followed_is_said(command: Command, evil_journal: Path) -> None:
    for other in (["--json"], ["--round", "1"]):
        ended = command("log", evil_journal, "--follow", *other)
        assert ended.code == 2
        assert other[0] in ended.err
    assert command("log", evil_journal, "--follow").out == command("log", evil_journal).out


def timed(path: Path) -> Path:
    """A simulated run whose first round has times."""
    plan = evil_plan()
    run = play(plan)
    write(path, plan, play(plan, rounds=0))
    first = run.rounds[0]
    turn = next(turn for turn in first.turns if turn.effects)
    effects = {(turn.place, 0): Span(40, 1_000)}
    began_us = 1_795_749_034_596_195
    times = RoundTimes(first.round, began_us, 123_456, {turn.place: Span(9, 2_500)}, effects, {})
    with Journal.open(path, write=True) as journal:
        journal.writer.commit(first, None, times)
        for record in run.rounds[1:]:
            journal.writer.commit(record)
        assert run.end is not None
        journal.writer.end(run.end)
    return path


def test_times_are_told_when_they_are_asked_for(command: Command, tmp_path: Path) -> None:
    path = timed(tmp_path / "timed.journal")
    assert "UTC" not in command("log", path).out
    ended = command("log", path, "--times")
    assert ended.code == 0
    assert "round 1  2026-11-27 03:10:34.596 UTC, 123 ms, commit " in ended.out
    assert ", 2.5 ms\n" in ended.out
    assert "  1.0 ms\n" in ended.out
    assert "not proved: times were noted by the clock\n" in ended.out
    log = json.loads(command("log", path, "--times", "--json").out)["log"]
    assert (log[0]["times"]["started_us"], log[0]["times"]["duration_us"]) == (1_795_749_034_596_195, 123_456)
    assert log[0]["times"]["effects"][0] | {"agent": "talker"} == {
        "agent": "talker",
        "index": 0,
        "start_us": 40,
        "duration_us": 1_000,
    }
    assert all("times" not in round_ for round_ in log[1:])


def test_a_journal_without_times_says_so(command: Command, evil_journal: Path) -> None:
    assert "not proved: no times were recorded\n" in command("log", evil_journal, "--times").out


def test_what_is_not_proved_is_said(command: Command, evil_journal: Path) -> None:
    whole, one = command("log", evil_journal), command("log", evil_journal, "--agent", "talker")
    assert "not proved: turns were not executed again\n" in whole.out
    assert "content of rounds" not in whole.out
    assert "not proved: the content of rounds was not compared with the head\n" in one.out
    assert json.loads(command("log", evil_journal, "--json").out)["unproved"] == ["turns were not executed again"]


def test_a_round_that_is_not_what_its_head_says_is_damage(command: Command, evil_journal: Path, tmp_path: Path) -> None:
    forged = changed(evil_journal, tmp_path, "UPDATE turns SET stdout = 'forged' WHERE failure IS NULL")
    ended = command("log", forged)
    assert ended.code == 2
    assert "outcome" in ended.err


def test_calls_that_a_model_asks_for_are_told(command: Command, tmp_path: Path) -> None:
    ended = command("log", calling_run(tmp_path))
    assert "    calls     stop {}\n" in ended.out
    assert 'tools ["stop"]' in ended.out
    assert 'answer    ""' in ended.out
