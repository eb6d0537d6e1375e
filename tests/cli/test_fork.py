"""`turnwise fork` and `turnwise detach` as people call them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import turnwise
from tests.cli.conftest import Command
from tests.inference import toy
from tests.orchestrator.test_fork import halves
from turnwise import Model


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


def test_a_parent_that_is_gone_is_found_where_one_says(command: Command, parent: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved.journal"
    moved.write_bytes(parent.read_bytes())
    new = tmp_path / "new.journal"
    assert command("fork", moved, "--at", 2, "-o", new).code == 0
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    moved.rename(elsewhere / "other-name.journal")
    refused = command("log", new)
    assert refused.code == 2
    assert "--parent" in refused.err
    assert command("detach", new, "--parent", elsewhere).code == 0
    assert command("log", new).code == 0
