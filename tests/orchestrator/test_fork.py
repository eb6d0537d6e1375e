"""Forks: heads of unchanged ones, isolation of those that a change has not reached, and parents that went away."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import turnwise
from tests.orchestrator.worlds import lively, talkers
from turnwise import Agent, Grants, InitialMessage, JournalError, Model, Run, UsageError, World
from turnwise.journal.file.lineage import DEPTH_MAX

SPEAKER = """
def turn(t):
    heard = [message.body for message in t.inbox]
    prompt = f"{t.args['mood']} {t.args.get('more', '')} {heard}"
    t.state = {"said": t.generate("model", prompt, tokens_max=6, temperature=1.0).text}
    t.record("luck", t.random.random())
    t.send(t.args["to"], t.state["said"])
    t.wake_in(1)
"""
LOUDER = SPEAKER.replace('t.state["said"])', 't.state["said"] + "!")')
REACHED, UNREACHED = ("a-1", "a-2"), ("b-1", "b-2")


def halves(*, silent: bool = False) -> World:
    """Two pairs that speak, each within itself: neither can reach the other.

    `silent` ones ask no model, so that none is started for them.
    """
    pairs = {
        pair: Agent(
            "def turn(t):\n    t.wake_in(1)" if silent else SPEAKER,
            args=[{"mood": "merry", "to": f"{pair}-2"}, {"mood": "grim", "to": f"{pair}-1"}],
            start=True,
            grants=Grants(send=[f"{pair}-1", f"{pair}-2"], generate=[] if silent else ["model"]),
        )
        for pair in ("a", "b")
    }
    models = {} if silent else {"model": Model("builtin:demo", provider="cpu")}
    return turnwise.World(name="halves", seed=4, rounds_max=6, models=models, agents=pairs)


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return turnwise.run(halves(), journal=tmp_path_factory.mktemp("halves") / "run.journal", workers=2)


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return turnwise.run(halves(silent=True), journal=tmp_path_factory.mktemp("silent") / "run.journal", workers=1)


def played(parent: Run, at: int, path: Path, **changes: Any) -> Run:
    return turnwise.fork(parent, at, journal=path, **{"workers": 1, **changes}).result()


def turns_of(run: Run, names: tuple[str, ...]) -> list[object]:
    return [
        (turn.round, turn.agent, turn.turn, turn.output, turn.failure, turn.effects)
        for turn in run.turns
        if turn.agent in names
    ]


# -- no change -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lively, talkers])
def test_a_fork_without_a_change_comes_to_the_head_of_its_parent(make: Any, tmp_path: Path) -> None:
    run = turnwise.run(make(), journal=tmp_path / "run.journal", workers=1)
    for at in (0, 4, run.last_round):
        with played(run, at, tmp_path / f"{at}.journal") as found:
            assert (found.head, found.execution) == (run.head, run.execution)
            assert found.parent is not None
            assert list(found.rounds) == list(run.rounds)
            assert list(found.messages) == list(run.messages)
            found.check()


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**31), schedule=st.sampled_from(["rounds", "sequential"]), data=st.data())
def test_random_worlds_forked_anywhere_come_to_their_heads(
    seed: int, schedule: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("random")
    run = turnwise.run(lively(seed, 8, schedule), journal=folder / "run.journal", workers=1)
    rounds = [0, *[record.round for record in run.rounds]]
    first = played(run, data.draw(st.sampled_from(rounds)), folder / "one.journal")
    second = played(first, data.draw(st.sampled_from(rounds)), folder / "two.journal")
    assert first.head == second.head == run.head


def test_what_came_from_outside_later_comes_again(tmp_path: Path) -> None:
    world = turnwise.World(
        name="asked",
        agents={"a": Agent("def turn(t):\n    t.state = {'heard': [m.body for m in t.inbox]}\n")},
        messages=[InitialMessage("a", "first")],
    )
    with world.start(journal=tmp_path / "run.journal", workers=1) as live:
        live.step()
        live.send("a", "second")
        live.step()
        live.send("a", "third")
        run = live.result()
    assert [record.round for record in run.rounds] == [1, 2, 3]
    for at in (0, 1, 2, 3):
        assert played(run, at, tmp_path / f"{at}.journal").head == run.head
    alone = played(run, 1, tmp_path / "alone.journal", repeat_inputs=False)
    assert (alone.last_round, alone.status) == (1, "quiet")
    with turnwise.fork(run, 1, journal=tmp_path / "stopped.journal", workers=1) as live:
        live.step()
    assert turnwise.resume(tmp_path / "stopped.journal", workers=1).result().head == run.head


# -- changes ---------------------------------------------------------------------------------------------------------


def changes(folder: Path) -> dict[str, dict[str, Any]]:
    louder = folder / "louder.py"
    louder.write_text(LOUDER)
    return {
        "message": {"messages": {"a-1": "hush"}},
        "drop": {"drop": [9]},
        "state": {"states": {"a-1": {"said": "something else"}}},
        "source": {"sources": {"a": louder}},
        "args of one": {"overrides": ["agents.a-1.args.mood=sad"]},
        "args of a kind": {"overrides": ["agents.a.args.more=1"]},
        "system": {"overrides": ["agents.a.system=Be brief."]},
        "fuel": {"overrides": ["agents.a.fuel=1000"]},
        "stop": {"stop": ["a-2"]},
        "several": {"messages": {"a-1": "hush"}, "sources": {"a": louder}, "stop": ["a-2"]},
    }


CHANGES = ["message", "drop", "state", "source"]
REST = [
    pytest.param(kind, 1, marks=pytest.mark.exhaustive)
    for kind in ("args of one", "args of a kind", "system", "fuel", "stop")
]


@pytest.mark.parametrize(("kind", "workers"), [*((kind, 1) for kind in CHANGES), *REST, ("several", 4)])
def test_whom_a_change_has_not_reached_has_the_same_turns(kind: str, workers: int, parent: Run, tmp_path: Path) -> None:
    change = changes(tmp_path)[kind]
    found = played(parent, 3, tmp_path / "fork.journal", workers=workers, **change)
    assert turns_of(found, UNREACHED) == turns_of(parent, UNREACHED)
    found.check()
    if kind not in ("state", "system"):  # which no turn of theirs looks at
        assert turns_of(found, REACHED) != turns_of(parent, REACHED)
    assert found.head != parent.head
    replayed = turnwise.replay(found.path, workers=workers)
    assert replayed.difference is None
    assert replayed.head == found.head


def test_another_seed_holds_from_the_fork_on(parent: Run, tmp_path: Path) -> None:
    found = played(parent, 3, tmp_path / "fork.journal", seed=99)
    assert found.seed == 99
    before, after = [
        [value.value for value in run.records if (value.round <= 3) is early]
        for run, early in ((found, True), (found, False))
    ]
    assert before == [value.value for value in parent.records if value.round <= 3]
    assert after != [value.value for value in parent.records if value.round > 3]
    verified = turnwise.verify(found.path, workers=1)
    assert verified.difference is None
    assert [model.level for model in verified.models] == ["L2"]


def test_a_fork_is_resumed_with_what_was_changed(parent: Run, tmp_path: Path) -> None:
    change = changes(tmp_path)["source"] | {"seed": 5, "overrides": ["world.rounds_max=8"]}
    whole = played(parent, 3, tmp_path / "whole.journal", **change)
    assert whole.last_round == 8
    for rounds in (0, 2):
        path = tmp_path / f"{rounds}.journal"
        with turnwise.fork(parent, 3, journal=path, workers=1, **change) as live:
            for _ in range(rounds):
                live.step()
            live.progress()
            if not rounds:
                with pytest.raises(UsageError):
                    live.send("nobody", "")
        assert turnwise.resume(path, workers=1).result().head == whole.head


@pytest.mark.parametrize(
    ("at", "change", "words"),
    [
        (9, {}, "there is no round 9"),
        (3, {"messages": {"nobody": "x"}}, "the agent 'nobody' is not there"),
        (3, {"drop": [0]}, "nobody is about to read message 0"),
        (3, {"states": {"nobody": "x"}}, "the agent 'nobody'"),
        (3, {"sources": {"a-1": "x.py"}}, "there is no kind of agent 'a-1'"),
        (3, {"sources": {"a": "missing.py"}}, "missing.py"),
        (3, {"overrides": ["world.schedule=sequential"]}, "world.schedule cannot be changed"),
        (3, {"overrides": ["agents.a.start=false"]}, "agents.a.start cannot be changed"),
        (3, {"overrides": ["agents.a.fuel=none"]}, "a whole number from 1"),
        (3, {"overrides": ["agents.a"]}, "is not KEY.PATH=VALUE"),
        (3, {"overrides": ["world.rounds_max=3"]}, "bound to 3 rounds"),
        (3, {"seed": -1}, "a whole number from 0"),
        (3, {"stop": ["nobody"]}, "the agent 'nobody'"),
    ],
)
def test_what_cannot_be_changed_is_an_error_for_people(
    at: int, change: dict[str, Any], words: str, silent: Run, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=words):
        played(silent, at, tmp_path / "fork.journal", **change)
    assert not (tmp_path / "fork.journal").exists()


def test_what_is_shown_between_rounds_knows_of_changes(parent: Run, tmp_path: Path) -> None:
    found = played(parent, 3, tmp_path / "fork.journal", states={"a-1": "{}"}, stop=["b-1"])
    assert found.state("a-1", 3) == parent.state("a-1", 3)
    assert found.state("a-1", 4) == found.turn(4, "a-1").output.state  # type: ignore[union-attr]
    assert found.turn(4, "b-1") is None
    compared = turnwise.diff(parent.path, found.path)
    assert compared.first is not None
    assert compared.first.round == 4
    assert "b-1" in compared.reached
    assert set(UNREACHED) & set(compared.unreached) == set()
    assert set(compared.unreached) == set(REACHED)  # whose states nobody looks at


# -- parents ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def family(tmp_path: Path) -> tuple[Path, Path]:
    """A run and its fork, which has a change."""
    run = turnwise.run(lively(rounds_max=9), journal=tmp_path / "run.journal", workers=1)
    with played(run, 4, tmp_path / "fork.journal", seed=8) as fork:
        assert len(list(fork.rounds)) == 9
    return run.path, fork.path


def test_a_fork_that_was_made_whole_needs_no_other_file(family: tuple[Path, Path]) -> None:
    run, fork = family
    with turnwise.open(fork) as before:
        rounds, head = list(before.rounds), before.head
    assert turnwise.detach(fork) == 1
    assert turnwise.detach(fork) == 0
    run.unlink()
    with turnwise.open(fork) as after:
        assert (list(after.rounds), after.head, after.parent) == (rounds, head, None)
        after.check()
    assert turnwise.replay(fork, workers=1).difference is None


@pytest.fixture
def orphan(family: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """A fork, and its parent where it is now: under another name, in a folder with what is no journal."""
    run, fork = family
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.journal").write_text("no journal")
    return fork, run.rename(elsewhere / "renamed.journal")


def test_a_parent_that_was_moved_is_found_by_its_head(orphan: tuple[Path, Path]) -> None:
    fork, parent = orphan
    with pytest.raises(JournalError, match=r"is not there: run\.journal") as refused:
        turnwise.open(fork)
    with turnwise.open(parent) as run:
        wanted = next(record.head for record in run.rounds if record.round == 4).hex()
    assert f"a journal with head {wanted} after round 4" in str(refused.value)
    assert "--parent PATH" in str(refused.value.hint)
    for place in (parent.parent, parent):
        with turnwise.open(fork, parents=[place]) as found:
            assert len(list(found.rounds)) == 9
    assert turnwise.detach(fork, parents=[parent.parent]) == 1
    turnwise.open(fork).check()


def test_everything_in_python_finds_a_parent_that_was_moved(orphan: tuple[Path, Path], tmp_path: Path) -> None:
    fork, parent = orphan
    places = [parent.parent]
    with turnwise.open(fork, parents=places) as run:
        again = tmp_path / "again.journal"
        with turnwise.fork(run, 6, journal=again, workers=1).result() as forked:  # which has been told where it is
            assert forked.head == run.head
        assert turnwise.replay(fork, workers=1, parents=places).head == run.head
        assert turnwise.verify(fork, workers=1, parents=places).head == run.head
        assert turnwise.diff(fork, parent, parents=places).count > 0
        assert turnwise.why(fork, "lively-1", 1, parents=places).kind == "turn"
        assert turnwise.export(fork, tmp_path / "tables", "csv", tables=["rounds"], parents=parent)
        assert turnwise.bundle(fork, tmp_path / "run.bundle", parents=places).head == run.head
        with turnwise.fork(fork, 6, journal=tmp_path / "open.journal", workers=1, parents=places) as live:
            live.step()
        with turnwise.resume(tmp_path / "open.journal", workers=1, parents=[fork.parent, *places]).result() as resumed:
            assert resumed.head == run.head


def test_a_parent_that_is_another_is_said(family: tuple[Path, Path], tmp_path: Path) -> None:
    run, fork = family
    run.unlink()
    with turnwise.run(lively(seed=6, rounds_max=9), journal=run, workers=1) as another:
        assert another.last_round == 9
    with pytest.raises(JournalError, match="it was changed, or is another"):
        turnwise.open(fork)
    (tmp_path / "more").mkdir()
    for name in ("one", "two"):
        shutil.copy(run, tmp_path / "more" / f"{name}.journal")
    run.unlink()
    with pytest.raises(JournalError, match="none of 2 others that were looked at has its head"):
        turnwise.open(fork, parents=[tmp_path / "more"])


def test_a_parent_that_goes_on_stays_a_parent(tmp_path: Path) -> None:
    with lively(rounds_max=9).start(journal=tmp_path / "run.journal", workers=1) as live:
        for _ in range(4):
            live.step()
    run = turnwise.open(tmp_path / "run.journal")
    fork = played(run, 3, tmp_path / "fork.journal", seed=8)
    turnwise.resume(run.path, workers=1).result().close()
    with turnwise.open(fork.path) as again:
        assert list(again.rounds) == list(fork.rounds)
        again.check()


def test_forks_of_forks_go_as_deep_as_one_likes(tmp_path: Path) -> None:
    run = turnwise.run(lively(rounds_max=2 * DEPTH_MAX + 6), journal=tmp_path / "0.journal", workers=1)
    head = run.head
    for depth in range(1, 2 * DEPTH_MAX + 4):
        run = played(run, depth, tmp_path / f"{depth}.journal")
        assert run.head == head
    assert list(run.rounds) == list(turnwise.open(tmp_path / "0.journal").rounds)


def test_a_fork_of_an_older_journal_keeps_its_rule(tmp_path: Path) -> None:
    stored = Path(__file__).parents[1] / "data" / "rounds-0.1.0.journal"
    old = turnwise.open(shutil.copy(stored, tmp_path))
    fork = played(old, 3, tmp_path / "fork.journal")
    assert list(fork.rounds)[:3] == list(old.rounds)[:3]
    fork.check()
    assert any("does not cover how the run ended" in line for line in fork.unproved)
