"""Agents that call tools, under virtual time with faults: nothing is done twice, lost, or used before it is on disk."""

from __future__ import annotations

import json
from collections import Counter
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from tests.sim.calling import calling, thinking
from turnwise.core.calling import CALL
from turnwise.core.records import EffectRecord, RoundRecord
from turnwise.core.sampling import SAMPLING, is_nested
from turnwise.sim import Faults, Violation
from turnwise.sim.checks import ReplyWitness, check_calls, check_ledger
from turnwise.sim.outside import OutsideWorld
from turnwise.sim.recorded import check_recorded

SEEDS = range(20)
OF_TOOLS = {"drop", "vanish", "late"}


def kinds_of_questions(rounds: tuple[RoundRecord, ...]) -> Counter[str]:
    return Counter(question.kind for record in rounds for park in record.parks for question in park.questions)


def kinds_of_errors(rounds: tuple[RoundRecord, ...]) -> Counter[str]:
    effects = [effect for record in rounds for _, effect in record.effects() if effect.kind == CALL]
    return Counter(json.loads(effect.reply).get("error", {}).get("kind", "ok") for effect in effects)


def test_whatever_fails_everything_follows_from_what_is_recorded() -> None:
    simulator = calling().simulator()
    struck: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    for seed in SEEDS:
        found = simulator.disturbed(seed)
        struck.update(found.faults)
        errors.update(kinds_of_errors(found.rounds))
    assert struck.keys() >= OF_TOOLS, "a fault that never strikes tests nothing"
    assert struck.keys() >= {"crash", "torn", "full", "leave"}
    assert errors.keys() >= {"ok", "unknown", "unavailable", "unknown_tool", "tool", "denied"}


def test_calls_park_their_turns_and_people_are_asked() -> None:
    """Control: without either, most of what can go wrong could not."""
    rounds = calling().simulator().undisturbed.rounds
    assert kinds_of_questions(rounds).keys() == {"call", "ask"}
    errors = kinds_of_errors(rounds)
    assert errors["ok"] > errors["tool"] > 0
    assert errors["unknown"] == 0, "nobody knows only after a crash"


@pytest.mark.parametrize("park_after_ms", [0, 600_000])
def test_calls_that_always_park_or_never_do(park_after_ms: int) -> None:
    simulator = calling(park_after_ms).simulator()
    assert kinds_of_questions(simulator.undisturbed.rounds)["call"] == 0 or park_after_ms == 0
    for seed in range(4):
        simulator.disturbed(seed)


def test_servers_ask_models_and_everything_follows_from_what_is_recorded() -> None:
    struck: Counter[str] = Counter()
    for park_after_ms, seeds in ((0, 3), (15, 6), (600_000, 3)):
        simulator = thinking(park_after_ms).simulator()
        rounds = simulator.undisturbed.rounds
        nested = Counter(effect.kind for record in rounds for _, effect in record.effects() if is_nested(effect.index))
        assert nested["generate"] > nested[SAMPLING] > 10
        assert "ask" in kinds_of_questions(rounds)
        for seed in range(seeds):
            struck.update(simulator.disturbed(seed).faults)
    assert struck.keys() >= {*OF_TOOLS, "crash"}


def test_servers_alone_may_fail() -> None:
    simulator = calling().simulator()
    for seed in range(6):
        found = simulator.disturbed(seed, Faults(drop=0.3, vanish=0.3, late=0.3))
        assert found.lives == 1
        assert kinds_of_errors(found.rounds)["unknown"]


def test_a_seed_repeats_all_calls() -> None:
    traces = [calling().simulator().disturbed(seed).trace for seed in (1, 2, 1)]
    assert traces[0] == traces[2] != traces[1]


# -- controls ----------------------------------------------------------------------------------------------------


def forged(rounds: tuple[RoundRecord, ...], reply: str) -> tuple[list[RoundRecord], tuple[int, int, int]]:
    """Give the first call that a turn was answered another reply; return where it was."""
    for at, record in enumerate(rounds):
        for number, turn in enumerate(record.turns):
            for effect in turn.effects:
                if effect.kind == CALL and effect.reply.startswith('{"ok"'):
                    others = tuple(replace(one, reply=reply) if one == effect else one for one in turn.effects)
                    turns = (*record.turns[:number], replace(turn, effects=others), *record.turns[number + 1 :])
                    changed = [*rounds[:at], replace(record, turns=turns), *rounds[at + 1 :]]
                    return changed, (turn.place, turn.turn, effect.index)
    raise AssertionError("no call was answered")


def outside_of(rounds: tuple[RoundRecord, ...]) -> OutsideWorld:
    """The world outside as a run says that it is."""
    outside = OutsideWorld()
    for record in rounds:
        for part in record.parts:
            for effect in part.effects:
                if effect.kind == CALL and '"ok"' in effect.reply:
                    key = part.place, part.turn, effect.index, 0
                    outside.made[key] += 1
                    outside.said[key] = [effect.reply]
                    outside.is_idempotent[key] = "own.again" in effect.request
    return outside


def test_what_was_done_outside_is_compared_with_what_is_recorded() -> None:
    rounds = calling(600_000).simulator().undisturbed.rounds
    tool = '{"error":{"kind":"tool","message":"no"}}'
    outside = outside_of(rounds)
    check_calls(rounds, outside, 1)

    twice = deepcopy(outside)
    again = next(key for key in twice.made if twice.is_idempotent[key])
    twice.made[again] += 1
    check_calls(rounds, twice, 1)
    once = next(key for key in twice.made if not twice.is_idempotent[key])
    twice.made[once] += 1
    with pytest.raises(Violation, match="was made 2 times"):
        check_calls(rounds, twice, 1)

    more = deepcopy(outside)
    more.made[0, 99, 0, 0] += 1
    with pytest.raises(Violation, match="is recorded nowhere"):
        check_calls(rounds, more, 1)

    with pytest.raises(Violation, match="a reply that no server gave"):
        check_calls(forged(rounds, '{"ok":{"text":"forged"}}')[0], outside, 1)
    check_calls(forged(rounds, tool)[0], outside, 1)
    unknown = tool.replace('"tool"', '"unknown"')
    check_calls(forged(rounds, unknown)[0], outside, 2)
    with pytest.raises(Violation, match="a reply that no server gave"):
        check_calls(forged(rounds, unknown)[0], outside, 1)


def test_a_run_that_does_not_follow_from_its_record_is_found() -> None:
    world = calling()
    rounds = world.simulator().undisturbed.rounds
    check_ledger(world.plan, rounds)
    check_recorded(world.plan, world.behaviours, rounds)
    changed, _ = forged(rounds, '{"ok":{"text":"forged"}}')
    with pytest.raises(Violation, match="does not follow"):
        check_recorded(world.plan, world.behaviours, changed)
    with pytest.raises(Violation, match="does not follow"):
        check_recorded(replace(world.plan, seed=4), world.behaviours, rounds)


def test_a_reply_that_changes_or_is_not_on_disk_is_seen() -> None:
    durable: set[str] = set()
    witness = ReplyWitness(durable.__contains__)
    witness.see(b"turn", ())
    witness.outcome('{"ok":1}')
    with pytest.raises(Violation, match="not on disk"):
        witness.see(b"turn", (b'{"results":[{"ok":1}]}',))
    durable.add('{"ok":1}')
    witness.see(b"turn", (b'{"results":[{"ok":1}]}',))
    durable.clear()  # its round was committed, and what was known ahead of that is gone
    witness.see(b"turn", (b'{"results":[{"ok":1}]}',))
    with pytest.raises(Violation, match="other replies than before"):
        witness.see(b"turn", (b'{"results":[{"ok":2}]}',))
    assert witness.executions == 5


def test_effects_of_calls_are_told_from_others() -> None:
    """Control of this module's own counts."""
    effect = EffectRecord(0, "generate", "m", "{}", '{"error":{"kind":"unknown"}}', None, None)
    rounds = calling(600_000).simulator().undisturbed.rounds
    turn: Any = replace(rounds[0].turns[0], effects=(effect,))
    assert kinds_of_errors((replace(rounds[0], turns=(turn,)),)) == Counter()
