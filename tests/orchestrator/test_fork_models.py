"""Forks that go on with another model: what its plan says, whom it reaches, and how it is verified."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import turnwise
from tests.orchestrator.test_fork import REACHED, SPEAKER, UNREACHED, played, turns_of
from turnwise import Agent, Grants, JournalError, Model, Run, World
from turnwise.journal import Journal

AT = 3


def halves(model: Path, other: Path) -> World:
    """Two pairs that speak, each within itself and by a model of its own; neither can reach the other."""
    names = {"a": "model", "b": "other"}
    pairs = {
        pair: Agent(
            SPEAKER.replace('"model"', f'"{name}"'),
            args=[{"mood": "merry", "to": f"{pair}-2"}, {"mood": "grim", "to": f"{pair}-1"}],
            start=True,
            grants=Grants(send=[f"{pair}-1", f"{pair}-2"], generate=[name]),
        )
        for pair, name in names.items()
    }
    models = {"model": Model(model, provider="cpu"), "other": Model(other, provider="cpu")}
    return turnwise.World(name="halves", seed=4, rounds_max=6, models=models, agents=pairs)


@pytest.fixture(scope="module")
def exact(in_layout: Callable[[str], Path]) -> Path:
    return in_layout("genai-fp32")


@pytest.fixture(scope="module")
def quantised(in_layout: Callable[[str], Path]) -> Path:
    """The same model with weights of four bits."""
    return in_layout("genai-int4")


@pytest.fixture(scope="module")
def parent(exact: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = tmp_path_factory.mktemp("models") / "run.journal"
    return turnwise.run(halves(exact, exact), journal=path, workers=2)


@pytest.fixture(scope="module")
def fork(parent: Run, quantised: Path) -> Run:
    return played(parent, AT, parent.path.with_name("fork.journal"), models={"model": quantised}, workers=2)


def models_at(run: Run, round_: int) -> dict[str, str]:
    with Journal.open(run.path) as journal:
        return dict(journal.header.plan_at(round_).models)


def test_the_plan_names_the_other_model_from_the_fork_on(parent: Run, fork: Run) -> None:
    before, after = models_at(fork, AT), models_at(fork, AT + 1)
    assert before == models_at(parent, AT)
    assert before["other"] == after["other"] == before["model"]
    assert after["model"] != before["model"]
    assert models_at(fork, fork.last_round) == after
    fork.check()


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_agents_that_do_not_use_it_have_the_same_turns(
    workers: int, parent: Run, fork: Run, quantised: Path, tmp_path: Path
) -> None:
    again = played(parent, AT, tmp_path / "fork.journal", models={"model": quantised}, workers=workers)
    assert again.head == fork.head != parent.head
    assert turns_of(again, UNREACHED) == turns_of(parent, UNREACHED)
    assert turns_of(again, REACHED) != turns_of(parent, REACHED)
    compared = turnwise.diff(parent.path, again.path)
    assert set(compared.reached) == set(REACHED)
    assert set(compared.unreached) == set(UNREACHED)
    assert any("model" in words for _, _, words in compared.changes)


def test_rounds_of_both_models_are_verified_each_with_its_own(fork: Run, exact: Path) -> None:
    whole = turnwise.verify(fork.path, workers=1)
    assert whole.difference is None
    assert whole.head == fork.head
    model, other = sorted(whole.models, key=lambda found: found.name)
    assert (other.level, other.compared) == ("L2", other.requests)
    assert model.level == "L0"  # the rounds before the fork were played with a file that it no longer names
    assert 0 < model.compared < model.requests
    since = turnwise.verify(fork.path, rounds=(AT + 1, None), workers=1)
    before = turnwise.verify(fork.path, rounds=(1, AT), models={"model": exact}, workers=1)
    for found in (since, before):
        assert found.difference is None
        assert [one.level for one in found.models] == ["L2", "L2"]
    assert sum(one.compared for found in (since, before) for one in found.models) == sum(
        one.requests for one in whole.models
    )


def test_the_wrong_model_for_rounds_of_the_fork_is_noticed(fork: Run, exact: Path) -> None:
    found = turnwise.verify(fork.path, rounds=(AT + 1, None), models={"model": exact}, workers=1)
    assert found.difference is not None
    assert found.difference.round > AT
    assert found.difference.agent in REACHED


def test_the_same_files_elsewhere_are_no_change(parent: Run, exact: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(exact, tmp_path / "moved")
    same = played(parent, AT, tmp_path / "same.journal", models={"model": moved})
    assert (same.head, models_at(same, same.last_round)) == (parent.head, models_at(parent, parent.last_round))


def test_a_model_that_is_another_without_being_named_is_refused(exact: Path, quantised: Path, tmp_path: Path) -> None:
    lent = shutil.copytree(exact, tmp_path / "model")
    run = turnwise.run(halves(lent, exact), journal=tmp_path / "run.journal", workers=1)
    shutil.rmtree(lent)
    shutil.copytree(quantised, lent)
    with pytest.raises(JournalError, match="model is not the one that the run used"):
        played(run, AT, tmp_path / "fork.journal")
    assert not (tmp_path / "fork.journal").exists()


def test_a_fork_that_is_taken_up_goes_on_with_its_model(
    parent: Run, fork: Run, quantised: Path, tmp_path: Path
) -> None:
    path = tmp_path / "stopped.journal"
    with turnwise.fork(parent, AT, journal=path, workers=1, models={"model": quantised}) as live:
        live.step()
    assert turnwise.resume(path, workers=1).result().head == fork.head
