"""One of two runs that are compared: its turns as facts that do not depend on places and sequence numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import astuple, dataclass
from typing import Final

from turnwise.core.records import EffectRecord, ParkRecord, RoundRecord, TurnRecord
from turnwise.core.sampling import index_text
from turnwise.history.outside_changes import answer_text, change_text, concerns
from turnwise.journal import Journal
from turnwise.journal.file.errors import damaged
from turnwise.journal.read.rows import Totals

OUTSIDE: Final = "outside"

Message = tuple[str, str, str]
"""Sender, agent or group, and body."""


@dataclass(frozen=True, slots=True)
class ComparedTurn:
    """A turn in facts that do not depend on places and sequence numbers. `read` are its messages, with senders."""

    facts: tuple[tuple[str, object], ...]
    read: tuple[Message, ...]
    standing: tuple[object, ...]
    effects: tuple[EffectRecord, ...]


class ComparedRun:
    """One of the two journals, read round by round, each compared with its outcome."""

    def __init__(self, journal: Journal, agent: str | None, common: int) -> None:
        self.journal = journal
        self._agent = agent
        self.names: list[str] = []
        self._kinds: list[str] = []
        self.parents: dict[str, str | None] = {}
        for entry in journal.queries.agents():
            parent = None if entry.parent is None else self.names[entry.parent]
            self.names.append(entry.name)
            self._kinds.append(entry.kind)
            self.parents[entry.name] = parent
        self.stoppers: dict[str, str] = {}
        self.changes: list[tuple[int, str]] = []
        self.touched: set[tuple[str, str]] = set()
        self._unread: dict[int, tuple[Message, int]] = {}
        self.sent: Counter[Message] = Counter()
        self._rounds = journal.chains.rounds(common + 1)
        self._next = next(self._rounds, None)
        self._counts = [0] * len(Totals.__dataclass_fields__)
        if common:
            self._begin_after(common)

    def _begin_after(self, common: int) -> None:
        """Stand where the common beginning ends: with the messages that are unread then, and what it took."""
        journal = self.journal
        for place in journal.queries.stopped(common):
            self.stoppers[self.names[place]] = OUTSIDE  # the same in both: whoever it was is no cause of a difference
        for pending in journal.world.pending(common):
            message = pending.message
            sender = OUTSIDE if message.sender is None else self.names[message.sender]
            self._unread[message.seq] = (sender, message.to, message.body), len(pending.places)
        if self._agent is None:
            self._counts = list(astuple(journal.queries.totals(common)))
        elif self._agent in self.names:
            self._counts = list(astuple(journal.queries.totals(common, self.names.index(self._agent))))

    @property
    def round(self) -> int | None:
        """The number of the round that comes next."""
        return None if self._next is None else self._next.round

    @property
    def totals(self) -> Totals:
        """Numbers of the rounds that were taken so far."""
        return Totals(*self._counts)

    def take(self) -> dict[str, ComparedTurn]:
        """Return the turns of the round that comes next, by agent."""
        record, self._next = self._next, next(self._rounds, None)
        if record is None:
            return {}
        self._change(record)
        self._deliver(record, inputs=True)
        turns = {self.names[turn.place]: self._turn(record, turn) for turn in record.turns}
        turns |= {self.names[park.place]: self._park(park) for park in record.parks}
        self._deliver(record, inputs=False)
        for turn in record.turns:
            for name in turn.output.stop if turn.output is not None else ():
                self.stoppers.setdefault(name, self.names[turn.place])
            if self._agent in (None, self.names[turn.place]):
                self._count(turn)
        return turns

    def _count(self, turn: TurnRecord) -> None:
        tokens = sum([len(effect.tokens or ()) for effect in turn.effects])
        sent = 0 if turn.output is None else len(turn.output.send)
        numbers = 1, turn.output is None, sent, len(turn.effects), tokens, turn.fuel
        self._counts = [total + number for total, number in zip(self._counts, numbers, strict=True)]

    def _change(self, record: RoundRecord) -> None:
        """Note what was changed from outside, and which agents it concerns."""
        self.touched = set()
        for change in record.changes:
            words = change_text(change, self.names.__getitem__)
            self.changes.append((record.round, words))
            for place, (name, kind) in enumerate(zip(self.names, self._kinds, strict=True)):
                if concerns(change, place, kind, self.journal.queries.message):
                    self.touched.add((name, words))
        for answer in record.answers:
            found = self.journal.rounds.parks.question(answer.question)
            if found is None:
                raise damaged(self.journal.path, f"there is an answer to question {answer.question}, and no question")
            name = self.names[found[1]]
            words = f"answer to {name}: {answer_text(answer.reply)}"
            self.changes.append((record.round, words))
            self.touched.add((name, words))

    def _deliver(self, record: RoundRecord, *, inputs: bool) -> None:
        for message in record.inputs if inputs else record.messages:
            sender = OUTSIDE if message.sender is None else self.names[message.sender]
            if message.recipients:
                self._unread[message.seq] = (sender, message.to, message.body), len(message.recipients)
            if message.to not in self.parents:  # a group, since it is the name of no agent
                self.sent[sender, message.to, message.body] += 1

    def _read(self, seq: int) -> Message:
        if seq not in self._unread:
            raise damaged(self.journal.path, f"message {seq} was read by an agent that it was not sent to")
        message, readers = self._unread[seq]
        if readers == 1:
            del self._unread[seq]
        else:
            self._unread[seq] = message, readers - 1
        return message

    def _park(self, park: ParkRecord) -> ComparedTurn:
        """A turn that waits for answers; what it has read is compared when it is over."""
        facts: list[tuple[str, object]] = []
        for effect in park.effects:
            facts.append((f"effect {index_text(effect.index)}: request", effect.request))
            facts.append((f"effect {index_text(effect.index)}: reply", effect.reply))
        facts.append(("asked", [(asked.request, asked.deadline) for asked in park.questions]))
        return ComparedTurn(tuple(facts), (), (park.turn, None), park.effects)

    def _turn(self, record: RoundRecord, turn: TurnRecord) -> ComparedTurn:
        read = tuple([self._read(seq) for seq in turn.inbox])
        facts: list[tuple[str, object]] = [("read", read)]
        for effect in turn.effects:
            facts.append((f"effect {index_text(effect.index)}: request", effect.request))
            facts.append((f"effect {index_text(effect.index)}: reply", effect.reply))
        facts.append(("failure", None if turn.failure is None else str(turn.failure.kind)))
        standing: tuple[object, ...] = (turn.turn, None)
        if turn.output is not None:
            output = turn.output
            facts += [
                ("stdout", turn.stdout),
                ("log", [(line.level, line.text) for line in output.log]),
                ("record", [(entry.name, entry.value) for entry in output.record]),
                ("sent", [(sent.to, sent.body) for sent in output.send]),
                ("wake_in", output.wake_in),
                ("spawn", [(child.kind, child.name, child.args, child.state) for child in output.spawn]),
                ("stop", output.stop),
                ("finish", output.finish),
                ("state", output.state),
            ]
            standing = turn.turn, output.state, output.wake_in
        return ComparedTurn(tuple(facts), read, standing, turn.effects)
