"""The first difference between two rounds that should be equal.

Causes come before consequences: who moved, with which inbox, what it asked and was answered, and only then what it left
behind. How a round was carried out (fuel, executions, tokens of answers, what failed turns said and printed) is no
outcome, and is compared only where that is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from turnwise.core.records import AgentRecord, EffectRecord, MessageRecord, ParkRecord, RoundRecord, TurnRecord
from turnwise.core.sampling import index_text


@dataclass(frozen=True, slots=True)
class Difference:
    """First fact in which two runs differ.

    `what` names the fact (`state`, `effect 2: reply`); `agent` is None for facts of a round, and `round` is 0 for the
    agents that are there from the beginning. `expected` and `actual` are the two values.
    """

    round: int
    agent: str | None
    what: str
    expected: object
    actual: object

    def __str__(self) -> str:
        who = f", agent {self.agent}" if self.agent else ""
        return f"round {self.round}{who}: {self.what}"


Fact = tuple[str | None, str, object]
"""(agent, what, value)"""


def first_difference(
    expected: RoundRecord, actual: RoundRecord, name_of: Callable[[int], str], *, execution: bool = False
) -> Difference | None:
    """Compare two records of what should be the same round.

    `name_of` maps places to names; `execution` says that how the round was carried out is compared too.
    """
    if expected.round != actual.round:
        return Difference(expected.round, None, "the number of the round", expected.round, actual.round)
    found = _first_unlike(expected.round, _facts(expected, name_of), _facts(actual, name_of))
    if found is None and execution:
        left, right = (_execution_facts(record, name_of) for record in (expected, actual))
        return _first_unlike(expected.round, left, right)
    return found


def first_agents_difference(expected: Iterable[AgentRecord], actual: Iterable[AgentRecord]) -> Difference | None:
    """Compare the agents that should be there from the beginning."""
    left, right = ((fact for agent in agents for fact in _agent_facts(agent)) for agents in (expected, actual))
    return _first_unlike(0, left, right)


def _first_unlike(round_: int, expected: Iterable[Fact], actual: Iterable[Fact]) -> Difference | None:
    missing: Fact = (None, "the number of facts", None)
    for left, right in zip_longest(expected, actual, fillvalue=missing):
        if left != right:
            named = left if left is not missing else right
            if left[:2] == right[:2]:
                return Difference(round_, *named[:2], left[2], right[2])
            whose = left[1] == right[1]
            return Difference(round_, *named[:2], _described(left, whose), _described(right, whose))
    return None


def _described(fact: Fact, whose: bool) -> str:
    agent, what, value = fact
    return f"{agent}: {what} = {value!r}" if whose and agent else f"{what} = {value!r}"


def _execution_facts(record: RoundRecord, name_of: Callable[[int], str]) -> Iterator[Fact]:
    for turn in record.parts:
        agent = name_of(turn.place)
        yield agent, "fuel", turn.fuel
        yield agent, "executions", turn.executions
        for effect in turn.effects:
            yield agent, f"effect {index_text(effect.index)}: tokens", effect.tokens
        if isinstance(turn, TurnRecord) and turn.failure is not None:
            yield agent, "message of the failure", turn.failure.message
            yield agent, "stdout", turn.stdout


def _facts(record: RoundRecord, name_of: Callable[[int], str]) -> Iterator[Fact]:
    yield from _message_facts("input", record.inputs, name_of)
    for answer in record.answers:
        yield None, f"answer to question {answer.question}", answer.reply
    yield None, "who moves", [name_of(turn.place) for turn in record.turns]
    for turn in record.turns:
        yield from _turn_facts(turn, name_of(turn.place))
    yield None, "who waits", [name_of(park.place) for park in record.parks]
    for park in record.parks:
        yield from _park_facts(park, name_of(park.place))
    for agent in record.spawned:
        yield from _agent_facts(agent)
    yield None, "stopped", [name_of(place) for place in record.stopped]
    yield from _message_facts("message", record.messages, name_of)
    if record.state is not None:
        yield None, "digest of the state", record.state.hex()


def _effect_facts(effects: Sequence[EffectRecord], agent: str) -> Iterator[Fact]:
    for effect in effects:
        yield agent, f"effect {index_text(effect.index)}: kind", (effect.kind, effect.model)
        yield agent, f"effect {index_text(effect.index)}: request", effect.request
        yield agent, f"effect {index_text(effect.index)}: reply", effect.reply


def _park_facts(park: ParkRecord, agent: str) -> Iterator[Fact]:
    yield agent, "turn", park.turn
    yield agent, "inbox", (park.inbox, park.backlog)
    yield from _effect_facts(park.effects, agent)
    for question in park.questions:
        yield agent, f"question {question.id}", (question.index, question.kind, question.request, question.deadline)
    yield agent, "calls", (park.calls, park.spent_bytes)


def _turn_facts(turn: TurnRecord, agent: str) -> Iterator[Fact]:
    yield agent, "turn", turn.turn
    yield agent, "inbox", turn.inbox
    yield from _effect_facts(turn.effects, agent)
    yield agent, "failure", str(turn.failure.kind) if turn.failure else None
    output = turn.output
    if output is None:
        return
    yield agent, "stdout", turn.stdout
    for line in output.log:
        yield agent, "log", (line.level, line.text)
    for record in output.record:
        yield agent, f"record {record.name}", record.value
    yield agent, "wake_in", output.wake_in
    yield agent, "spawn", output.spawn
    yield agent, "stop", output.stop
    yield agent, "finish", output.finish
    yield agent, "state", output.state


def _agent_facts(agent: AgentRecord) -> Iterator[Fact]:
    yield agent.name, "spawned", (agent.place, agent.kind, agent.born, agent.parent, agent.grants)
    yield agent.name, "args", agent.args
    yield agent.name, "first state", agent.state


def _message_facts(what: str, messages: Sequence[MessageRecord], name_of: Callable[[int], str]) -> Iterator[Fact]:
    for message in messages:
        sender = None if message.sender is None else name_of(message.sender)
        yield sender, f"{what} {message.seq}: to", (message.round, message.to, message.recipients)
        yield sender, f"{what} {message.seq}: body", message.body
        if message.attach is not None:
            yield sender, f"{what} {message.seq}: attachment", message.attach
