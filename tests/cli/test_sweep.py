"""`turnwise sweep`: what it prints, for people and for programs, and its exit codes."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli import worlds
from tests.cli.conftest import Command
from tests.cli.worlds import SPINS, TICKS, make_world, says
from turnwise.journal.run import Run

FINISHES = says('{"state":"","finish":7}')


def test_rows_for_programs_and_a_table(command: Command, tmp_path: Path) -> None:
    world = make_world(tmp_path / "world", {"ticks.wat": TICKS}, rounds_max=3)
    table, journals = tmp_path / "table.csv", tmp_path / "journals"
    ended = command(
        "sweep", world, "--seeds", "0..1", "--set", "world.rounds_max=2,3", "--table", table, "--journals", journals,
        "--workers", 1, "--jobs", 2, "--json",
    )  # fmt: skip
    assert ended.code == 0
    value = json.loads(ended.out)
    rows = value["runs"]
    assert [(row["settings"], row["seed"], row["rounds"], row["status"]) for row in rows] == [
        ({"world.rounds_max": str(rounds)}, seed, rounds, "rounds_max") for rounds in (2, 3) for seed in (0, 1)
    ]
    for row in rows:
        with Run.open(row["journal"]) as run:
            assert (run.head, run.seed) == (row["head"], row["seed"])
    with table.open(encoding="utf-8", newline="") as file:
        assert [row["head"] for row in csv.DictReader(file)] == [row["head"] for row in rows]
    assert "4 runs: 4 rounds_max" in ended.err
    again = command("sweep", world, "--seeds", "0", "--set", "world.rounds_max=2", "--journals", journals, "--json")
    assert [row["head"] for row in json.loads(again.out)["runs"]] == [rows[0]["head"]]


def test_runs_that_fail_make_the_exit_code_1(command: Command, tmp_path: Path) -> None:
    world = make_world(tmp_path / "world", {"spins.wat": SPINS}, on_failure='"stop"')
    ended = command("sweep", world, "--seeds", "3,5", "--workers", 1)
    assert ended.code == 1
    assert "2 runs: 2 failed" in ended.out
    assert "seed 3" in ended.out
    assert "seed 5" in ended.out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--seeds", "5..1"], "Write 1..5"),
        (["--seeds", "x"], "--seeds"),
        (["--seeds", "0", "--set", "nothing"], "KEY=VALUE"),
        (["--seeds", "0", "--set", "agents.nobody.count=1,2"], "nobody"),
        (["--seeds", "0", "--set", "world.seed=1,2"], "seeds are no variable"),
        (["--seeds", "0", "--table", "t.txt"], ".parquet"),
        (["--seeds", "0", "--jobs", "0"], "runs at once"),
    ],
)
def test_what_is_wrong_is_said(command: Command, tmp_path: Path, options: list[str], said: str) -> None:
    world = make_world(tmp_path / "world", {"ticks.wat": TICKS}, rounds_max=3)
    ended = command("sweep", world, *options)
    assert ended.code == 2
    assert said in ended.err
    assert ended.out == ""


def test_moves_are_shown(command: Command, tmp_path: Path) -> None:
    world = make_world(tmp_path / "world", {"ends.wat": FINISHES})
    ended = command("sweep", world, "--seeds", "0..1", "--set", "world.rounds_max=2,3", "--workers", 1)
    assert ended.code == 0
    assert "result  moved 0, spread 0" in ended.out


def test_an_interrupted_sweep_is_taken_up_by_the_same_command(command: Command, tmp_path: Path) -> None:
    world = make_world(tmp_path / "world", {"ticks.wat": TICKS}, rounds_max=60)
    kept, table = tmp_path / "journals", tmp_path / "table.csv"
    options = ["--workers", 1, "--jobs", 2, "--json"]
    arguments = ["sweep", world, "--seeds", "0..59", *options, "--journals", kept, "--table", table]
    program = subprocess.Popen(
        worlds.command(*arguments), env=worlds.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert program.stderr is not None
    said = ""
    while "of 60" not in said:
        line = program.stderr.readline()
        assert line, said
        said += line
    program.send_signal(signal.SIGINT)
    out, err = program.communicate(timeout=120)
    assert program.returncode == 130, err
    assert json.loads(out)["status"] == "interrupted"
    assert f"the same command goes on from the journals in {kept}\ninterrupted\n" in err
    assert "Traceback" not in err
    assert not table.exists()
    assert {file.suffix for file in kept.iterdir()} == {".journal"}  # no lock and no log is left beside one
    whole = {}
    for path in kept.iterdir():
        with Run.open(path) as run:
            run.check()
            if run.status != "open":
                whole[path] = path.read_bytes()
    assert 1 <= len(whole) < 60
    ended = command(*arguments)
    assert ended.code == 0, ended.err
    assert {path: path.read_bytes() for path in whole} == whole
    rows = {row["seed"]: row["head"] for row in json.loads(ended.out)["runs"]}
    assert len(rows) == 60
    alone = command("sweep", world, "--seeds", "0,1,58,59", *options)
    assert all(rows[row["seed"]] == row["head"] for row in json.loads(alone.out)["runs"])
    assert table.exists()
