"""`turnwise run` and `turnwise resume`, through the real program."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.worlds import SPINS, TICKS, command, environment, interrupt, make_world, played_here, says, turnwise
from turnwise.journal.run import Run

EVIL = "\x1b[2J\u202e"


def the_object(text: str) -> dict[str, Any]:
    """What `--json` printed: one line, one object, nothing else."""
    assert text.count("\n") == 1
    assert text.endswith("}\n")
    value = json.loads(text)
    assert value.keys() >= {"head", "rounds", "turns", "status", "result", "journal"}
    return dict(value)


def test_json_is_the_only_thing_on_stdout(tmp_path: Path) -> None:
    world = make_world(tmp_path / "w", {"tick.wat": TICKS}, rounds_max=3)
    ended = turnwise("run", world, "--json", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    value = the_object(ended.stdout)
    assert (value["status"], value["rounds"], value["turns"], value["result"]) == ("rounds_max", 3, 3, None)
    assert Path(value["journal"]).is_file()
    assert len(value["head"]) == 64
    assert value["head"] in ended.stderr


def test_the_summary_says_why_the_world_ended_and_what_to_do_next(tmp_path: Path) -> None:
    world = make_world(tmp_path / "w", {"a.wat": says(json.dumps({"state": "", "finish": {"evil": EVIL}}))})
    ended = played_here("run", world, "--journal", "my run.journal", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("w: finished: an agent called finish\n")
    for line in (
        "  rounds    1\n",
        "  turns     1\n",
        '  result    {"evil": "\\u001b[2J\\u202e"}\n',
        f"  journal   {tmp_path}/my run.journal\n",
        "  turnwise log 'my run.journal'      shows what happened\n",
        "  turnwise replay 'my run.journal'   executes it again and compares\n",
    ):
        assert line in ended.stdout
    assert ended.stderr.startswith(f"playing {world}, journal 'my run.journal'\n")


def test_a_world_where_nobody_has_anything_to_do_ends(tmp_path: Path) -> None:
    ended = played_here("run", make_world(tmp_path / "w", {"a.wat": says('{"state":""}')}), cwd=tmp_path)
    assert ended.stdout.startswith("w: ended: nobody has anything left to do\n")


def test_options_replace_what_the_world_says(tmp_path: Path) -> None:
    world = make_world(tmp_path / "w", {"tick.wat": TICKS}, seed=1, rounds_max=100)
    options = ("--seed", 5, "--rounds", 4, "--set", 'world.name="other"', "--schedule", "sequential", "--json")
    heads = set()
    for workers in (1, 2):
        journal = tmp_path / f"{workers}.journal"
        ended = played_here("run", world, *options, "--workers", workers, "--journal", journal, cwd=tmp_path)
        value = the_object(ended.stdout)
        assert (value["seed"], value["rounds"], value["world"]) == (5, 4, "other")
        assert value["journal"] == str(journal)
        heads.add(value["head"])
    assert len(heads) == 1
    assert the_object(played_here("run", world, "--rounds", 4, "--json", cwd=tmp_path).stdout)["head"] not in heads


def test_failed_turns_are_shown_and_the_others_go_on(tmp_path: Path) -> None:
    bad = says(json.dumps({"error": f"Traceback:\n  line\nValueError: {EVIL}no"}))
    world = make_world(tmp_path / "w", {"bad.wat": bad, "tick.wat": TICKS}, rounds_max=2)
    ended = played_here("run", world, cwd=tmp_path)
    assert ended.returncode == 0
    assert "  turns     3, 1 failed\n" in ended.stdout
    assert "1 failed turn\n  round 1, bad: raised: ValueError: \\e[2J\\u202eno\n" in ended.stdout
    assert "--agent bad --round 1   shows the first failure\n" in ended.stdout
    assert "The exit code is 0 all the same; --fail-on-failed-turns makes it 1." in ended.stdout
    for words in (("run", world), ("resume", "runs/w-0.journal")):
        ended = played_here(*words, "--fail-on-failed-turns", cwd=tmp_path)
        assert ended.returncode == 1, ended.stderr
        assert "Turns have failed, so the exit code is 1 (--fail-on-failed-turns)." in ended.stdout


@pytest.mark.parametrize("native", [False, True])
def test_a_run_in_which_no_turn_completed_has_failed(tmp_path: Path, native: bool) -> None:
    world = make_world(tmp_path / "w", {"bad.py": "def turn(t):\n    1 / 0\n"})
    ended = played_here("run", world, *(["--native"] if native else []), cwd=tmp_path)
    assert ended.returncode == 1
    assert "No turn has completed, so the exit code is 1." in ended.stdout
    if not native:
        assert played_here("resume", "runs/w-0.journal", cwd=tmp_path).returncode == 1


def test_turns_that_all_complete_satisfy_fail_on_failed_turns(tmp_path: Path) -> None:
    world = make_world(tmp_path / "w", {"tick.wat": TICKS}, rounds_max=2)
    ended = played_here("run", world, "--fail-on-failed-turns", cwd=tmp_path)
    assert (ended.returncode, "exit code" in ended.stdout) == (0, False)


def test_a_run_that_fails(tmp_path: Path) -> None:
    bad = says(json.dumps({"error": "no"}))
    world = make_world(tmp_path / "w", {"bad.wat": bad}, on_failure='"stop"')
    ended = turnwise("run", world, "--json", cwd=tmp_path)
    assert ended.returncode == 1
    value = the_object(ended.stdout)
    assert (value["status"], value["rounds"], value["failed_turns"]) == ("failed", 1, 1)
    assert 'w: failed: a turn failed, and the world says on_failure = "stop"' in ended.stderr
    assert played_here("resume", value["journal"], cwd=tmp_path).returncode == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere"),
        (["w", "--seed", "-1"], "--seed"),
        (["w", "--seed", str(2**64)], "--seed"),
        (["w", "--set", "agents.tick.fule=3"], "--set agents.tick.fule=3"),
        (["w", "--set", "world"], "--set world"),
        (["w", "--schedule", "sometimes"], "--schedule"),
        (["w", "--rounds", "0"], "--rounds"),
        (["w", "--workers", "0"], "--workers"),
        (["w", "--workers", "100000"], "--workers"),
        (["w", "--model", "m=/nowhere"], "--model m=/nowhere"),
        (["w", "--journal", "w/world.toml"], "world.toml"),
        (["w", "--journal", "missing-folder/run.journal"], "missing-folder"),
        (["w", "--native"], "agents.tick.source: tick.wat is WebAssembly"),
        (["w", "--native", "--journal", "run.journal"], "--journal: a native run writes no journal"),
        (["w", "--native", "--workers", "2"], "--workers: a native run has no sandbox workers"),
        (["w", "--native", "--patience", "2"], "--patience: a native run waits for people in this terminal"),
    ],
)
def test_wrong_input(tmp_path: Path, arguments: list[str], message: str) -> None:
    world = make_world(tmp_path / "w", {"tick.wat": TICKS}, rounds_max=1)
    before = (world / "world.toml").read_bytes()
    ended = played_here("run", *arguments, "--json", cwd=tmp_path)
    assert ended.returncode == 2, ended.stderr
    assert "error: " in ended.stderr
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr
    assert the_object(ended.stdout)["error"]["exit"] == 2
    assert (world / "world.toml").read_bytes() == before


def test_wrong_input_ends_the_process_so(tmp_path: Path) -> None:
    ended = turnwise("run", "nowhere", "--json", cwd=tmp_path)
    assert (ended.returncode, the_object(ended.stdout)["error"]["exit"]) == (2, 2)
    assert "error: " in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_journal_is_never_overwritten(tmp_path: Path) -> None:
    world = make_world(tmp_path / "w", {"tick.wat": TICKS}, rounds_max=1)
    assert played_here("run", world, "--journal", "run.journal", cwd=tmp_path).returncode == 0
    before = (tmp_path / "run.journal").read_bytes()
    ended = played_here("run", world, "--journal", "run.journal", "--json", cwd=tmp_path)
    assert ended.returncode == 2
    assert "run.journal" in ended.stderr
    assert the_object(ended.stdout)["head"] is None  # the other run's head is not this one's
    assert (tmp_path / "run.journal").read_bytes() == before


def test_no_place_for_a_journal_that_nobody_has_named(tmp_path: Path) -> None:
    world = make_world(tmp_path / "w", {"tick.wat": TICKS}, rounds_max=1)
    (tmp_path / "runs").write_text("a file where the folder would be")
    ended = turnwise("run", world, cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr == (
        "error: runs: no journal can be put there: File exists\n"
        "  Name a place for it: --journal FILE, or journal=… in Python\n"
    )


def start(*arguments: object, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*arguments), cwd=cwd, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def read_until(process: subprocess.Popen[str], what: str) -> str:
    """Lines of stderr up to the one that holds `what`."""
    assert process.stderr is not None
    text = ""
    while what not in text:
        line = process.stderr.readline()
        assert line, f"it ended without saying {what!r}: {text}"
        text += line
    return text


def read_until_round(process: subprocess.Popen[str], number: int) -> None:
    """Lines of stderr up to one that tells of this round or a later one."""
    while int(re.findall(r"round ([\d,]+) of", read_until(process, "round "))[-1].replace(",", "")) < number:
        pass


def play_until_round(number: int, *arguments: object, cwd: Path) -> dict[str, Any]:
    """Plays to a round, presses Ctrl-C, and returns what `--json` said."""
    with start(*arguments, "--json", cwd=cwd) as process:
        read_until_round(process, number)
        interrupt(process)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Stopping when the round in progress is committed. Ctrl-C again stops at once.\n" in err
    assert "  turnwise resume one.journal   goes on\n" in err or "one" not in str(arguments)
    value = the_object(out)
    assert value["status"] == "open"
    return value


def heads(journal: Path) -> list[str]:
    with Run.open(journal) as run:
        return [record.head.hex() for record in run.rounds]


def test_ctrl_c_stops_at_a_safe_point_and_resume_goes_on_to_the_same_head(tmp_path: Path) -> None:
    world = make_world(tmp_path / "w", {"tick.wat": TICKS}, rounds_max=1_000_000)
    one, other = tmp_path / "one.journal", tmp_path / "other.journal"
    first = play_until_round(1, "run", world, "--journal", one.name, cwd=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.journal", "w"]  # closed, with nothing beside it
    assert heads(one)[-1] == first["head"]
    resumed = play_until_round(first["rounds"] + 2, "resume", one.name, cwd=tmp_path)
    assert resumed["rounds"] > first["rounds"]
    play_until_round(resumed["rounds"], "run", world, "--journal", other.name, cwd=tmp_path)
    undisturbed = heads(other)
    assert heads(one) == undisturbed[: resumed["rounds"]]
    assert resumed["head"] == undisturbed[resumed["rounds"] - 1]


def test_a_second_ctrl_c_stops_at_once_and_loses_nothing_committed(tmp_path: Path) -> None:
    world = make_world(tmp_path / "w", {"spin.wat": SPINS})
    toml = (world / "world.toml").read_text()
    (world / "world.toml").write_text(toml.replace("start = true", "start = true\nfuel = 14_400_000_000"))
    with start("run", world, "--journal", "run.journal", "--json", cwd=tmp_path) as process:
        read_until(process, "round 1 ")
        interrupt(process)
        read_until(process, "Stopping when")
        interrupt(process)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Stopping at once" in err
    value = the_object(out)
    assert (value["status"], value["rounds"]) == ("open", 0)
    assert "turnwise resume run.journal" in err


def test_a_journal_in_use_is_left_alone(tmp_path: Path) -> None:
    world = make_world(tmp_path / "w", {"tick.wat": TICKS}, rounds_max=1_000_000)
    with start("run", world, "--journal", "run.journal", "--json", cwd=tmp_path) as process:
        read_until(process, "round ")
        ended = turnwise("resume", "run.journal", "--json", cwd=tmp_path)
        assert ended.returncode == 2
        assert "run.journal" in ended.stderr
        assert the_object(ended.stdout)["error"]["exit"] == 2
        assert turnwise("log", "run.journal", "--round", 1, cwd=tmp_path).returncode == 0  # reading is no use of it
        interrupt(process)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert heads(tmp_path / "run.journal")[-1] == the_object(out)["head"]


def test_sigterm_stops_at_a_safe_point_too(tmp_path: Path) -> None:
    world = make_world(tmp_path / "w", {"tick.wat": TICKS}, rounds_max=1_000_000)
    with start("run", world, cwd=tmp_path) as process:
        read_until(process, "round ")
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "turnwise resume" in out


def test_a_killed_run_can_be_resumed_to_the_same_head(tmp_path: Path) -> None:
    world = make_world(tmp_path / "w", {"tick.wat": TICKS}, rounds_max=400)
    with start("run", world, "--journal", "run.journal", cwd=tmp_path) as process:
        read_until(process, "round ")
        process.kill()
        process.communicate(timeout=60)
    resumed = the_object(turnwise("resume", "run.journal", "--json", cwd=tmp_path).stdout)
    whole = the_object(turnwise("run", world, "--json", cwd=tmp_path).stdout)
    assert resumed["head"] == whole["head"]
    assert resumed["rounds"] == whole["rounds"] == 400


def test_a_run_that_has_ended_is_only_summarized(tmp_path: Path) -> None:
    world = make_world(tmp_path / "w", {"tick.wat": TICKS}, rounds_max=1)
    first = the_object(turnwise("run", world, "--json", cwd=tmp_path).stdout)
    before = Path(first["journal"]).read_bytes()
    again = turnwise("resume", first["journal"], "--json", cwd=tmp_path)
    assert again.returncode == 0
    assert "This run has ended already" in again.stderr
    assert the_object(again.stdout) == first
    assert Path(first["journal"]).read_bytes() == before


def test_native_says_loudly_that_it_proves_nothing(tmp_path: Path) -> None:
    source = "def turn(t):\n    print('on the real stdout')\n    t.finish({'ok': 1})\n"
    world = make_world(tmp_path / "w", {"a.py": source})
    ended = turnwise("run", world, "--native", "--json", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "WITHOUT A SANDBOX" in ended.stderr
    assert "proves nothing" in ended.stderr
    value = the_object(ended.stdout)
    assert (value["head"], value["journal"], value["status"], value["result"]) == (None, None, "finished", {"ok": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["w"]
