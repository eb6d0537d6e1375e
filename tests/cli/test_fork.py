"""`turnwise fork` and `turnwise detach` as people call them."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import turnwise
from tests.cli.conftest import Command
from tests.inference import toy
from tests.orchestrator.test_fork import halves
from tests.orchestrator.worlds import lively
from turnwise import Live, Model
from turnwise.cli.output import Output
from turnwise.cli.playing import play
from turnwise.journal import Journal


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two pairs whose model answers by what runs beside what."""
    folder = tmp_path_factory.mktemp("halves")
    mixing = toy.write_mixing_folder(folder / "model")
    bound = replace(halves(), models={"model": Model(mixing, provider="cpu", batching="free")})
    turnwise.run(bound, journal=folder / "run.journal", workers=2).close()
    return folder / "run.journal"


def test_a_fork_of_a_plan_bound_model_says_that_isolation_is_not_promised(
    command: Command, parent: Path, tmp_path: Path
) -> None:
    new = tmp_path / "new.journal"
    ended = command("fork", parent, "--at", 2, "--message", "a-1=stop it", "-o", new)
    assert ended.code == 0, ended.err
    assert "plan-bound" in ended.out + ended.err
    assert "may change the answers of agents that it has not reached" in " ".join((ended.out + ended.err).split())
    shown = command("diff", parent, new)
    assert shown.code == 3
    assert "reached" in shown.out


def test_no_change_comes_to_the_head_of_the_parent_and_detaches(command: Command, parent: Path, tmp_path: Path) -> None:
    new = tmp_path / "same.journal"
    assert command("fork", parent, "--at", 3, "-o", new).code == 0
    assert command("detach", new).code == 0
    with turnwise.open(parent) as old, turnwise.open(new) as run:
        assert run.head == old.head
    assert command("diff", parent, new).code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--at", "99"], "there is no round 99 in this run"),
        (["--at", "2", "--message", "nobody=x"], "nobody"),
        (["--at", "2", "--message", "text"], "--message"),
        (["--at", "2", "--stop-agent", "nobody"], "nobody"),
        (["--at", "2", "--set", "nothing=1"], "nothing"),
        (["--at", "2", "--state", "a-1=missing.json"], "missing.json"),
        (["--at", "2", "--source", "a=missing.py"], "missing.py"),
        (["--at", "2", "--drop", "123456"], "123456"),
    ],
)
def test_what_cannot_be_is_said_and_leaves_no_file(
    command: Command, parent: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    new = tmp_path / "new.journal"
    ended = command("fork", parent, *arguments, "-o", new)
    assert ended.code == 2
    assert said in ended.err
    assert "Traceback" not in ended.err
    assert "defect" not in ended.err
    assert not new.exists()


# -- a parent that was moved ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Orphans:
    """Forks whose parent lies elsewhere now."""

    whole: Path
    """A fork that was played to its end."""
    left: Path
    """One that was left after a round."""
    parent: Path
    """The parent where it is now, under another name, in a folder with a journal of another run."""
    head: str
    """Head that it has after the round in which they left it."""


@pytest.fixture(scope="module")
def orphans(parent: Path, tmp_path_factory: pytest.TempPathFactory) -> Orphans:
    folder = tmp_path_factory.mktemp("orphans")
    moved = Path(shutil.copy(parent, folder / "run.journal"))
    whole, left = folder / "whole.journal", folder / "left.journal"
    for path in (whole, left):
        with turnwise.fork(moved, 2, journal=path, workers=1, messages={"a-1": "stop it"}) as live:
            live.step()
            if path == whole:
                live.result().close()
    with Journal.open(moved) as journal:
        head = journal.rounds.summary(2).head.hex()
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    moved.rename(elsewhere / "other-name.journal")
    turnwise.run(lively(rounds_max=2), journal=elsewhere / "another.journal", workers=1).close()
    return Orphans(whole, left, elsewhere / "other-name.journal", head)


READERS: dict[str, list[str]] = {
    "log": [],
    "replay": ["--workers", "1"],
    "verify": ["--workers", "1"],
    "why": ["--agent", "a-1", "--round", "4"],
    "diff": ["PARENT"],
    "redact": ["--agent", "a-1", "-o", "NEW"],
    "compact": ["--keep", "states", "-o", "NEW"],
    "export": ["--to", "jsonl", "-o", "NEW"],
    "bundle": ["-o", "NEW"],
    "fork": ["--at", "4", "-o", "NEW"],
    "resume": ["--workers", "1"],
    "detach": [],
    "answer": [],
}
"""Commands that read a journal, with what else they are given."""


@pytest.mark.parametrize("name", READERS)
def test_every_command_finds_a_parent_that_was_moved(
    command: Command, orphans: Orphans, tmp_path: Path, name: str
) -> None:
    source = orphans.left if name == "resume" else orphans.whole
    fork = Path(shutil.copy(source, source.with_name(f"{name}.journal"))) if name in ("resume", "detach") else source
    words = {"PARENT": orphans.parent, "NEW": tmp_path / "new"}
    arguments = [words.get(argument, argument) for argument in READERS[name]]
    refused = command(name, fork, *arguments)
    assert refused.code == 2
    said = " ".join(refused.err.split())
    assert f"a journal with head {orphans.head} after round 2" in said
    assert "--parent PATH" in said
    assert not (tmp_path / "new").exists()
    found = command(name, fork, *arguments, "--parent", orphans.parent.parent)
    assert found.code == (3 if name == "diff" else 0), found.err
    if name == "resume":
        with turnwise.open(fork, parents=[orphans.parent]) as resumed:
            assert resumed.status == "rounds_max"
    if name == "detach":
        assert command("log", fork).code == 0


def test_the_parent_is_named_by_its_own_path_or_its_folder(command: Command, orphans: Orphans) -> None:
    assert command("log", orphans.whole, "--parent", orphans.parent).code == 0
    another = orphans.parent.with_name("another.journal")
    refused = command("log", orphans.whole, "--parent", another)
    assert refused.code == 2
    assert "another.journal is not the run that was forked" in " ".join(refused.err.split())
    assert orphans.head in refused.err


def test_a_run_that_was_stopped_at_once_is_told_of(orphans: Orphans) -> None:
    """Its journal is opened once more then, with the same places to look in."""

    def begin() -> Live:
        live = turnwise.resume(orphans.left, parents=[orphans.parent], workers=1)
        live.abort()
        return live

    played = play(begin, "halves", Output.err())
    assert played.error is None
    assert played.run is not None
    with played.run as run:
        assert run.last_round == 3


def test_lists_of_runs_find_a_parent_that_was_moved(command: Command, orphans: Orphans) -> None:
    folder = orphans.whole.parent
    (lost,) = [run for run in _listed(command, folder) if run["journal"] == str(orphans.whole)]
    assert f"a journal with head {orphans.head}" in str(lost["error"])
    (found,) = [
        run
        for run in _listed(command, folder, "--parent", orphans.parent.parent)
        if run["journal"] == str(orphans.whole)
    ]
    assert found["error"] is None
    assert found["world"] is not None


def _listed(command: Command, *arguments: object) -> list[dict[str, object]]:
    listed: list[dict[str, object]] = json.loads(command("runs", *arguments, "--json").out)["runs"]
    return listed
