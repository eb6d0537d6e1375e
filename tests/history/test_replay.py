"""Replay finds what differs, and names it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import turnwise
from tests.guests import SPINS, constant
from tests.history.forger import changed, rechained
from tests.orchestrator.worlds import lively, talkers
from turnwise import Agent, DifferenceFound, World
from turnwise.core.turn import FailureClass
from turnwise.sharedmem import Transport


@pytest.fixture(scope="module")
def journals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("journals")
    made = {}
    for world in (lively(), lively(schedule="sequential", rounds_max=60), talkers()):
        path = folder / f"{world.name}-{world.schedule}.journal"
        with turnwise.run(world, journal=path, workers=2):
            made[path.stem] = path
    return made


@pytest.mark.parametrize("name", ["lively-rounds", "lively-sequential", "talkers-rounds"])
@pytest.mark.parametrize("transport", ["auto", "portable"])
def test_an_honest_journal_is_equal(name: str, transport: Transport, journals: dict[str, Path]) -> None:
    seen: list[tuple[int, int]] = []
    found = turnwise.replay(
        journals[name], workers=1, transport=transport, progress=lambda done, total: seen.append((done, total))
    )
    with turnwise.open(journals[name]) as run:
        assert found.difference is None
        assert (found.head, found.rounds, found.turns) == (run.head, len(run.rounds), len(run.turns))
        assert seen[-1] == (found.rounds, found.rounds)
        assert found.notes == ()


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE turns SET state = 'other' WHERE round = 3 AND failure IS NULL", "state"),
        ("UPDATE turns SET failure = 'trap' WHERE round = 3 AND failure = 'raised'", "failure"),
        ("UPDATE messages SET body = 'other' WHERE round = 3", "body"),
        ("UPDATE messages SET recipients = NULL WHERE round = 3 AND recipients IS NOT NULL", "to"),
        ("UPDATE records SET value = 0.25 WHERE round = 3", "record luck"),
        ("UPDATE rounds SET head = zeroblob(32) WHERE round = 3", "head"),
    ],
)
def test_a_changed_journal_is_told_by_its_first_difference(
    statement: str, what: str, journals: dict[str, Path], tmp_path: Path
) -> None:
    name = "talkers-rounds" if "luck" in what or "failure" in what else "lively-rounds"
    number = 3
    with turnwise.open(journals[name]) as run:
        if "failure" in what:
            number = next(turn.round for turn in run.failures)
        elif "messages" in statement:
            number = next(message.round for message in run.messages if message.round > 1 and message.recipients)
    copy = changed(journals[name], tmp_path, statement.replace("round = 3", f"round = {number}"))
    found = turnwise.replay(copy, workers=1)
    assert found.difference is not None
    assert found.difference.round == number
    assert what in found.difference.what
    assert found.rounds == number - 1


def test_resume_refuses_a_changed_journal(journals: dict[str, Path], tmp_path: Path) -> None:
    copy = changed(
        journals["lively-rounds"],
        tmp_path,
        "UPDATE turns SET state = 'other' WHERE round = 3 AND failure IS NULL",
        "DELETE FROM ends",
    )
    with pytest.raises(DifferenceFound, match="round 3"):
        turnwise.resume(copy, workers=1).result()


def burning(fuel: int = 1_000_000) -> World:
    return turnwise.World(
        name="burning",
        rounds_max=3,
        agents={
            "spins": Agent(SPINS, start=True, fuel=fuel),
            "works": Agent(constant({"state": "", "wake_in": 1}), start=True, fuel=fuel),
        },
    )


def test_fuel_is_an_outcome_that_another_version_takes_from_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "burning.journal"
    with turnwise.run(burning(), journal=path, workers=1) as run:
        failure = next(iter(run.turns)).failure
        assert failure is not None
        assert failure.kind == FailureClass.FUEL
        versions = json.loads(run.versions)
    foreign = changed(path, tmp_path, f"UPDATE writers SET versions = '{json.dumps(versions | {'wasmtime': '1.2.3'})}'")
    forged = turnwise.replay(foreign, workers=1)
    assert forged.difference is not None
    assert forged.difference.what == "execution digest"
    found = turnwise.replay(rechained(foreign), workers=1)
    assert found.difference is None
    assert "wasmtime 1.2.3" in found.notes[0]
    # Without the journal's decision the endless loop would be executed without a bound.


def test_a_difference_of_fuel_is_found_on_the_same_version(tmp_path: Path) -> None:
    path = tmp_path / "burning.journal"
    turnwise.run(burning(), journal=path, workers=1).close()
    tampered = changed(path, tmp_path, "UPDATE turns SET failure = 'trap' WHERE failure = 'fuel'")
    found = turnwise.replay(tampered, workers=1)
    assert found.difference is not None
    assert (found.difference.what, found.difference.actual) == ("failure", "fuel")
