"""Checks of what must hold of every run, whatever happened: the journal's rounds, and the input of turns.

Nothing here asks the core: mail, order and bounds are counted again, from what rounds say.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence

from turnwise.core.calling import CALL, asks, is_of_call
from turnwise.core.plan import Plan
from turnwise.core.records import AgentRecord, EffectRecord, MessageRecord, ParkRecord, RoundRecord, TurnRecord
from turnwise.core.sampling import is_nested, samples
from turnwise.core.state import first_agents
from turnwise.errors import InvariantError
from turnwise.sim.outside import OutsideWorld


class Violation(InvariantError):
    """Something that no fault may cause has happened. The message names the seed that repeats it."""


class Ledger:
    """Counts mail, turns and bounds round by round, and raises `Violation` at the first that cannot be.

    No message is lost or doubled; order is kept; no bound is exceeded; nothing is applied twice.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._limits = {kind.name: kind.limits for kind in plan.kinds}
        self._agents: list[AgentRecord] = list(first_agents(plan))
        self._mail: list[list[int]] = [[] for _ in self._agents]
        self._turns = [0 for _ in self._agents]
        self._stopped: set[int] = set()
        self._seq = 0
        self._round = 0
        self._question = 0
        self._waiting: dict[int, tuple[ParkRecord, dict[int, str]]] = {}

    def take(self, record: RoundRecord) -> None:
        """Count a round."""
        _require(self._round < record.round <= self._plan.rounds_max, record, "comes when it cannot")
        self._round = record.round
        self._deliver(record, record.inputs)
        places = [turn.place for turn in record.turns]
        _require(places == sorted(set(places)), record, f"has turns in the order {places}")
        _require(bool(places or record.parks or record.answers), record, "has nobody who moves, waits or is answered")
        self._answers(record)
        for turn in record.turns:
            self._turn(record, turn)
        for park in record.parks:
            self._park(record, park, places)
        self._agents += record.spawned
        self._mail += [[] for _ in record.spawned]
        self._turns += [0 for _ in record.spawned]
        _require([agent.place for agent in self._agents] == list(range(len(self._agents))), record, "misses a place")
        names = [agent.name for agent in self._agents]
        _require(len(set(names)) == len(names), record, "has two agents of one name")
        self._stopped.update(record.stopped)
        for place in record.stopped:
            self._mail[place].clear()
            self._waiting.pop(place, None)
        sent = [(turn.place, send.to, send.body) for turn in record.turns if turn.output for send in turn.output.send]
        told = [(message.sender, message.to, message.body) for message in record.messages]
        _require(sent == told, record, f"has the messages {told}, and its turns sent {sent}")
        self._deliver(record, record.messages)

    def _turn(self, record: RoundRecord, turn: TurnRecord) -> None:
        place, limits = turn.place, self._limits[self._agents[turn.place].kind]
        self._turns[place] += 1
        _require(turn.turn == self._turns[place], record, f"has turn {turn.turn} of place {place}")
        _require(place not in self._stopped, record, f"has a turn of place {place}, which was stopped")
        read, mail = list(turn.inbox), self._mail[place]
        _require(read == mail[: len(read)], record, f"has place {place} read {read} of {mail}")
        waited = place in self._waiting  # with the mail that it had then
        _require(bool(read) or not mail or waited, record, f"has place {place} read nothing of {mail}")
        del mail[: len(read)]
        self._goes_on(record, place, read, turn.effects)
        _require((turn.output is None) != (turn.failure is None), record, f"has place {place} both fail and not")
        own = sum(not is_nested(effect.index) for effect in turn.effects)
        _require(own <= limits.effects_max, record, f"has {own} effects of {place}")
        _require(0 < turn.executions <= len(turn.effects) + 1, record, f"has {turn.executions} executions of {place}")
        _require(0 <= turn.fuel <= limits.fuel, record, f"has place {place} use {turn.fuel} fuel of {limits.fuel}")

    def _answers(self, record: RoundRecord) -> None:
        """An answer reaches a question that waits for it, before its deadline, and once."""
        for answer in record.answers:
            found = [
                (replies, question)
                for park, replies in self._waiting.values()
                for question in park.questions
                if question.id == answer.question and question.id not in replies
            ]
            _require(len(found) == 1, record, f"has an answer to question {answer.question}, which is not open")
            replies, question = found[0]
            late = question.deadline is not None and question.deadline < record.round
            _require(not late, record, f"has an answer to question {question.id} after its deadline")
            replies[question.id] = answer.reply

    def _park(self, record: RoundRecord, park: ParkRecord, moved: Sequence[int]) -> None:
        """A turn waits for what it has asked; its mail stays unread."""
        place = park.place
        _require(place not in moved, record, f"has place {place} both move and wait")
        _require(place not in self._stopped, record, f"has place {place} wait, which was stopped")
        _require(park.turn == self._turns[place] + 1, record, f"has turn {park.turn} of place {place} wait")
        _require(bool(park.questions), record, f"has place {place} wait for nothing")
        self._goes_on(record, place, list(park.inbox), park.effects)
        for question in park.questions:
            self._question += 1
            _require(question.id == self._question, record, f"has question {question.id} after {self._question - 1}")
        _require(list(park.inbox) == self._mail[place][: len(park.inbox)], record, f"has place {place} read others")
        self._waiting[place] = park, {}

    def _goes_on(self, record: RoundRecord, place: int, read: list[int], effects: Sequence[EffectRecord]) -> None:
        """A turn that has waited goes on with the mail it had, and each question has one reply: the one that came."""
        if place not in self._waiting:
            return
        park, replies = self._waiting.pop(place)
        _require(read == list(park.inbox), record, f"has place {place} go on with other mail")
        given = {effect.index: effect.reply for effect in effects}
        for question in park.questions:
            reply, came = given.get(question.index), replies.get(question.id)
            if is_of_call(question.request) or (came is not None and (asks(came) or samples(came))):
                continue  # a stage of a call, whose place has another question or its outcome next: `check_calls`
            overdue = question.deadline is not None and question.deadline <= record.round
            _require(reply is not None, record, f"has place {place} go on without a reply to question {question.id}")
            _require(came is not None or overdue, record, f"has place {place} not wait for question {question.id}")
            _require(came is None or reply == came, record, f"has another reply to question {question.id}")

    def _deliver(self, record: RoundRecord, messages: Sequence[MessageRecord]) -> None:
        for message in messages:
            _require(message.seq == self._seq, record, f"has message {message.seq} after {self._seq - 1}")
            self._seq += 1
            _require(not self._stopped.intersection(message.recipients), record, "has mail for who was stopped")
            direct = [agent.place for agent in self._agents if agent.name == message.to]
            if direct and direct[0] not in self._stopped:
                _require(list(message.recipients) == direct, record, f"has message {message.seq} reach others")
            for place in message.recipients:
                self._mail[place].append(message.seq)


class InputWitness:
    """Sees every execution: the same turn must always be given the same, whatever happened before.

    `known` is one that has seen the run without faults, whose turns must be given the same.
    """

    def __init__(self, known: InputWitness | None = None) -> None:
        self._given: dict[tuple[str, int, int], tuple[bytes, tuple[bytes, ...]]] = {} if known is None else known._given
        self._known = known is not None
        self.executions = 0

    def see(self, envelope: bytes, replies: tuple[bytes, ...]) -> None:
        """Take note of an execution."""
        self.executions += 1
        turn = json.loads(envelope)
        key = turn["self"], turn["turn"], len(replies)
        given = self._given.get(key)
        if given is None and not self._known:
            self._given[key] = envelope, replies
        elif given != (envelope, replies):
            raise Violation(
                f"turn {key[1]} of {key[0]} is executed with other input than without faults",
                expected=given,
                actual=(envelope, replies),
            )


class ReplyWitness:
    """Sees every execution of a run whose rounds may come otherwise after a crash, since the world outside has a say.

    A turn that begins in the same way must be given the same replies; and none that is not on disk.
    """

    def __init__(self, is_durable: Callable[[str], bool]) -> None:
        self.executions = 0
        self._given: dict[tuple[bytes, int], tuple[bytes, ...]] = {}
        self._is_durable = is_durable
        self._at_risk: list[str] = []

    def look(self) -> None:
        """Look which outcomes are on disk by now: from then on they may be used."""
        self._at_risk = [outcome for outcome in self._at_risk if not self._is_durable(outcome)]

    def outcome(self, outcome: str) -> None:
        """A server has said something, which nobody else will say again."""
        self._at_risk.append(outcome)

    def see(self, envelope: bytes, replies: tuple[bytes, ...]) -> None:
        """Take note of an execution."""
        self.executions += 1
        given = self._given.setdefault((envelope, len(replies)), replies)
        if given != replies:
            raise Violation("a turn is given other replies than before", expected=given, actual=replies)
        self.look()
        for outcome in self._at_risk:
            if any(outcome.encode() in reply for reply in replies):
                raise Violation("a turn is given the outcome of a call that is not on disk", actual=outcome)


def check_calls(rounds: Sequence[RoundRecord], outside: OutsideWorld, lives: int) -> None:
    """Compare the calls that a run has recorded with what servers have done and said.

    None is made twice unless it may be, and none but those that are recorded, or that a turn still waits for; what is
    recorded is what a server has said, or that nobody knows after a crash.
    """
    recorded: dict[tuple[int, int, int], str] = {}
    waiting: set[tuple[int, int, int]] = set()
    for record in rounds:
        for part in record.parts:
            waiting = {key for key in waiting if key[:2] != (part.place, part.turn)}
            for effect in part.effects:
                if effect.kind == CALL:
                    recorded[part.place, part.turn, effect.index] = effect.reply
            if isinstance(part, ParkRecord):
                waiting |= {(part.place, part.turn, question.index) for question in part.questions}
    for key, times in outside.made.items():
        known = recorded.get(key[:3])
        if known is None and key[:3] not in waiting:
            raise Violation(f"call {key} was made, and is recorded nowhere")
        if times > 1 and not outside.is_idempotent[key]:
            raise Violation(f"call {key} was made {times} times")
    for (place, turn, index), reply in recorded.items():
        said = [text for key, texts in outside.said.items() if key[:3] == (place, turn, index) for text in texts]
        if reply not in said and not _is_of_ours(reply, lives):
            raise Violation(
                f"call {index} of turn {turn} of place {place} has a reply that no server gave", actual=reply
            )


def _is_of_ours(reply: str, lives: int) -> bool:
    """Return whether a reply is one that a call can have without a server: refused, or unknown after a crash."""
    error = json.loads(reply).get("error")
    return error is not None and (error["kind"] != "unknown" or lives > 1)


def check_ledger(plan: Plan, rounds: Iterable[RoundRecord]) -> None:
    """Count all rounds of a run."""
    ledger = Ledger(plan)
    for record in rounds:
        ledger.take(record)


def check_round(expected: RoundRecord | None, record: RoundRecord) -> None:
    """Raise `Violation` unless a durable round is the one of the undisturbed run."""
    if expected != record:
        raise Violation(f"round {record.round} is not that of the undisturbed run", expected=expected, actual=record)


def _require(holds: bool, record: RoundRecord, what: str) -> None:
    if not holds:
        raise Violation(f"round {record.round} {what}")
