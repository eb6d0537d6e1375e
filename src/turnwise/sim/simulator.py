"""Drive the machine with plain functions instead of sandboxes.

The same `Machine` that runs under the event loop runs here, so order, mail, alarms, spawning, failures and heads are
the real ones. `order` seeds the order in which pending work is done: no seed may change what is committed, and a seed
that does reproduces the failure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from turnwise.core.canonical import canonical
from turnwise.core.envelope import decode_needs, decode_output
from turnwise.core.events import Advance, Commit, EffectAnswered, End, Event, Execute, Keep, Request, TurnEnded
from turnwise.core.events import Answer as PeopleAnswer
from turnwise.core.machine import Machine
from turnwise.core.plan import Plan
from turnwise.core.question import answer_reply
from turnwise.core.records import EndRecord, RoundRecord
from turnwise.core.turn import Completed, Failed, Failure, FailureClass, Needs
from turnwise.orchestrator.contents import Contents
from turnwise.sim.behaviour import Answer, Behaviour, execute

Answers = Mapping[int, Sequence[tuple[int, Any]]]
"""Answers of people, (number of the question, value), by the round after which they are given."""


@dataclass(slots=True)
class Simulation:
    """A run that was simulated."""

    machine: Machine
    rounds: list[RoundRecord] = field(default_factory=list)
    end: EndRecord | None = None

    @property
    def head(self) -> str:
        return self.machine.head.hex()


def simulate(
    plan: Plan,
    behaviours: Mapping[str, Behaviour],
    *,
    answer: Answer | None = None,
    order: int | None = None,
    machine: Machine | None = None,
    rounds: int | None = None,
    people: Answers | None = None,
) -> Simulation:
    """Run a plan to its end, or for a number of `rounds`, or until it waits for an answer that does not come.

    `behaviours` maps kinds to functions. `order`: None does work as it comes; a number shuffles it. `machine`: one that
    has been restored, to go on from there. `people` are answers to questions, (number, value), by the round after which
    they are given.
    """
    run = Simulation(machine or Machine(plan))
    chance = Random(order) if order is not None else None
    contents = Contents()
    while run.end is None and (rounds is None or len(run.rounds) < rounds):
        for question, value in (people or {}).get(run.machine.world.round, ()):
            run.machine.step(PeopleAnswer(question, answer_reply(value)))
        if run.machine.waits:
            break
        pending = run.machine.step(Advance())
        while pending:
            action = pending.pop(chance.randrange(len(pending)) if chance else 0)
            if isinstance(action, Commit):
                run.rounds.append(action.record)
            elif isinstance(action, End):
                run.end = action.record
            elif isinstance(action, Keep):
                contents.keep(action.kept, action.content)
            else:
                pending += run.machine.step(_carry_out(action, behaviours, answer, contents))
    return run


def _carry_out(
    action: Execute | Request, behaviours: Mapping[str, Behaviour], answer: Answer | None, contents: Contents
) -> Event:
    if isinstance(action, Request):
        if answer is None:
            raise ValueError("this world has effects: pass `answer`")
        return EffectAnswered(action.place, action.index, canonical(answer(action.request, action.stream)))
    return TurnEnded(action.place, outcome_of_turn(action, behaviours[action.kind], contents), fuel=1)


def outcome_of_turn(action: Execute, behaviour: Behaviour, contents: Contents) -> Completed | Needs | Failed:
    """Execute a turn; return how that ended."""
    status, text = execute(behaviour, action.input.encode(), [contents.filled(reply) for reply in action.replies])
    if status == "failed":
        return Failed(Failure(FailureClass.RAISED, text))
    return decode_output(text) if status == "completed" else decode_needs(text)
