"""A run played again from what its journal has of the world outside: everything else must follow from that.

The core and the agents' functions are the real ones; nothing is called, and nobody is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from turnwise.core.calling import CALL, asked_by_server, outcome_of, request_of
from turnwise.core.events import (
    Action,
    Advance,
    Answer,
    CallLeft,
    Commit,
    EffectAnswered,
    End,
    Event,
    Execute,
    Keep,
    Request,
    TurnEnded,
)
from turnwise.core.events import Input as OutsideInput
from turnwise.core.machine import Machine
from turnwise.core.plan import Plan
from turnwise.core.records import EffectRecord, QuestionRecord, RoundRecord
from turnwise.core.sampling import sampled_stages
from turnwise.orchestrator.contents import Contents
from turnwise.sim.behaviour import Behaviour
from turnwise.sim.checks import Violation
from turnwise.sim.simulator import outcome_of_turn


def check_recorded(plan: Plan, behaviours: Mapping[str, Behaviour], rounds: Sequence[RoundRecord]) -> None:
    """Play rounds again with their recorded replies. Raises `Violation` where something else comes of it."""
    machine, contents = Machine(plan), Contents()
    given = len(plan.messages)
    for record in rounds:
        for message in record.inputs[given:]:
            machine.step(OutsideInput(message.to, message.body, record.round if message.round == record.round else 0))
        for answer in record.answers:
            machine.step(Answer(answer.question, answer.reply))
        given = 0
        played = _played(machine, behaviours, contents, record)
        if played is None or _outcome(played) != _outcome(record):
            raise Violation(
                f"round {record.round} does not follow from what is recorded", expected=record, actual=played
            )


def _played(
    machine: Machine, behaviours: Mapping[str, Behaviour], contents: Contents, record: RoundRecord
) -> RoundRecord | None:
    """Play one round; None if the run ends instead."""
    effects = {(place, effect.index): effect for place, effect in record.effects()}
    sampled = {
        (part.place, *stage): outcome
        for part in record.parts
        for stage, outcome in sampled_stages(part.effects).items()
    }
    questions = {(park.place, asked.index): asked for park in record.parks for asked in park.questions}
    pending: list[Action] = machine.step(Advance())
    while pending:
        action = pending.pop(0)
        match action:
            case Commit(played):
                return played
            case End():
                return None
            case Keep(kept, content):
                contents.keep(kept, content)
            case Execute():
                outcome = outcome_of_turn(action, behaviours[action.kind], contents)
                pending += machine.step(TurnEnded(action.place, outcome, 1))
            case Request() if (asked := sampled.get((action.place, action.index, action.stage))) is not None:
                pending += machine.step(EffectAnswered(action.place, action.index, asked))
            case Request():
                pending += machine.step(_answered(action, effects, questions.get((action.place, action.index)), record))
    raise Violation(f"round {record.round} does not end when it is played again")


def _answered(
    action: Request,
    effects: Mapping[tuple[int, int], EffectRecord],
    question: QuestionRecord | None,
    record: RoundRecord,
) -> Event:
    """Answer an effect as it is recorded: by its reply, by parking with it, or by its server's questions."""
    place, index = action.place, action.index
    if action.request.kind == CALL and question is not None:
        if question.kind == CALL:
            return CallLeft(place, index)
        if asked_by_server(question.request) and request_of(question.request) == action.request.body:
            return EffectAnswered(place, index, outcome_of(question.request))
    effect = effects.get((place, index))
    if effect is None:
        raise Violation(f"round {record.round} has no reply to effect {index} of place {place}")
    return EffectAnswered(place, index, effect.reply, effect.tokens)


def _outcome(record: RoundRecord) -> RoundRecord:
    """Return what must be the same of a round: all but how it was carried out."""
    turns = tuple([replace(turn, fuel=0, executions=0, stdout="") for turn in record.turns])
    parks = tuple([replace(park, fuel=0, executions=0) for park in record.parks])
    return replace(record, turns=turns, parks=parks, execution=b"", waves=())
