"""Records of rounds, as the core commits them and the journal keeps them.

Places number agents: the world file's order, then spawning. Sequence numbers of messages run over the whole run. A
record holds whatever is needed to restore the world at any round, and nothing that depends on how it was carried out,
except the fields that the execution digest covers (`fuel`, `executions`, `waves`, `tokens`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from turnwise.core.turn import Failure, TurnOutput
from turnwise.core.unguarded import unguarded

EndReason = Literal["finished", "quiet", "rounds_max", "failed"]
"""Reason why a run ended: `finish` was called; no agent had anything to do; its bound was reached; a turn failed."""


@unguarded
@dataclass(frozen=True, slots=True)
class AgentRecord:
    """An agent that came to be. `born` is the round whose commit created it (0: the world file); `parent` its place.

    `grants` are indices of kinds whose grants all bound this agent, its own kind first (a child may at most what its
    parent may).
    """

    place: int
    name: str
    kind: str
    args: str
    state: str
    born: int
    parent: int | None
    grants: tuple[str, ...]


@unguarded
@dataclass(frozen=True, slots=True)
class MessageRecord:
    """A message. `sender` is a place, or None for outside. Nobody in `recipients`: a dead letter.

    `round` is the round in which it was sent; it can be read from the next on. `attach` is the handle of a
    content that comes with it, or None.
    """

    seq: int
    round: int
    sender: int | None
    to: str
    body: str
    recipients: tuple[int, ...]
    attach: str | None = None


@unguarded
@dataclass(frozen=True, slots=True)
class EffectRecord:
    """One effect of a turn, `index` counting from 0 over the turn. Request and reply are canonical JSON text.

    `tokens` are the ids of all tokens of an answer that a language model generated, its end token included; None where
    none were told. Part of how a round was carried out: the same text can be made of other tokens.
    `content` is what a put was given, while its round is committed; a record that is read has none.
    """

    index: int
    kind: str
    model: str | None
    request: str
    reply: str
    tokens: tuple[int, ...] | None = None
    content: bytes | memoryview | None = field(default=None, compare=False, repr=False)


@unguarded
@dataclass(frozen=True, slots=True)
class TurnRecord:
    """A turn. `turn` counts the agent's own turns from 1; `inbox` holds sequence numbers of the messages it read.

    `output` is None exactly when `failure` is not. `stdout` is what it printed, for people; for a completed turn it
    is part of the head.
    """

    place: int
    turn: int
    inbox: tuple[int, ...]
    output: TurnOutput | None
    failure: Failure | None
    effects: tuple[EffectRecord, ...]
    stdout: str
    fuel: int
    executions: int


@dataclass(frozen=True, slots=True)
class WaveRecord:
    """Effects of a round that one model answered together, since its bits depend on what runs beside what.

    `wave` counts from 1 in the round; several models may have had the same. `requests` are (place, index) of the
    effects, rising: the order in which the model had them. `plan` is canonical JSON of everything else that its bits
    depend on. Part of how a round was carried out, and so of the execution digest, never of the head.
    """

    wave: int
    model: str
    requests: tuple[tuple[int, int], ...]
    plan: str


@dataclass(frozen=True, slots=True)
class QuestionRecord:
    """An effect that waits for an answer from outside. `id` counts over the run from 1, `index` as of `EffectRecord`.

    `deadline` is the round from which on its default is taken; None: it waits for as long as it takes.
    """

    id: int
    index: int
    kind: str
    request: str
    deadline: int | None = None


@dataclass(frozen=True, slots=True)
class ParkRecord:
    """A turn that was begun, or went on, and waits for answers from outside; it will go on from its start.

    `turn` and `inbox` as of `TurnRecord`; `backlog` counts the messages that did not fit. `effects` are those that were
    answered in this round, `questions` those that were asked in it and wait, both in order of index. `calls` are the
    turn's calls in this round, each with the number of its effects and whether it asked for a list. `spent_bytes` is
    what all its effects have used of `effects_mib` so far. `fuel` and `executions` are those of this round.
    """

    place: int
    turn: int
    inbox: tuple[int, ...]
    backlog: int
    effects: tuple[EffectRecord, ...]
    questions: tuple[QuestionRecord, ...]
    calls: tuple[tuple[int, bool], ...]
    spent_bytes: int
    fuel: int
    executions: int


@dataclass(frozen=True, slots=True)
class AnswerRecord:
    """An answer from outside to the question of this number, as the reply to its effect: canonical JSON text."""

    question: int
    reply: str


ChangeKind = Literal["plan", "state", "args", "stop", "drop"]
"""Parts of a world that somebody outside can change between two rounds: see `ChangeRecord`."""


@dataclass(frozen=True, slots=True)
class ChangeRecord:
    """A change of a world that came from outside, at the beginning of a round.

    `plan`: `text` says which members of the plan are others from here on (`turnwise.core.plan_change`). `state` and
    `args`: the agent at place `target` has this `text` as its state or arguments. `stop`: the agent at that place is
    stopped. `drop`: nobody reads the message with the sequence number `target` any more.
    """

    what: ChangeKind
    target: int | None = None
    text: str | None = None


@unguarded
@dataclass(frozen=True, slots=True)
class RoundRecord:
    """All that one commit holds. Turns are in order of place; messages in order of sequence number.

    `head` is the chain's value after the round, `outcome` the digest of the round by itself, None where the run's
    chains know none (see `turnwise.core.head`). `waves` are in order of number and model. `changes` came from outside
    before anybody moved, after the inputs; then `answers` did, in the order in which they were given. `parks` are turns
    that wait for answers, in order of place: such an agent has no turn among `turns`. Inputs whose own round is this
    one came while it was in progress, and it ends the run. `state` is the digest of the world's state after the round
    where one was due (see `turnwise.core.snapshot`), else None.
    """

    round: int
    turns: tuple[TurnRecord, ...]
    inputs: tuple[MessageRecord, ...]
    messages: tuple[MessageRecord, ...]
    spawned: tuple[AgentRecord, ...]
    stopped: tuple[int, ...]
    head: bytes
    execution: bytes
    waves: tuple[WaveRecord, ...] = ()
    outcome: bytes | None = None
    changes: tuple[ChangeRecord, ...] = ()
    state: bytes | None = None
    parks: tuple[ParkRecord, ...] = ()
    answers: tuple[AnswerRecord, ...] = ()

    def chained(self, head: bytes, state: bytes | None) -> RoundRecord:
        """The same round with its head, and the digest of the state after it."""
        return RoundRecord(
            self.round,
            self.turns,
            self.inputs,
            self.messages,
            self.spawned,
            self.stopped,
            head,
            self.execution,
            self.waves,
            self.outcome,
            self.changes,
            state,
            self.parks,
            self.answers,
        )

    @property
    def parts(self) -> tuple[TurnRecord | ParkRecord, ...]:
        """Turns that ended in the round, then those that wait."""
        return (*self.turns, *self.parks) if self.parks else self.turns

    def effects(self) -> Iterator[tuple[int, EffectRecord]]:
        """Yield the places and effects of all that was answered in the round, of turns that wait too."""
        for part in self.parts:
            for effect in part.effects:
                yield part.place, effect


@dataclass(frozen=True, slots=True)
class EndRecord:
    """End of a run, after `round`, the last one that was committed.

    `result` is JSON text of what `finish` was given, or None; `message` says to people why a run failed.
    `head` is the head of the whole run, its end included; None where the run's chains leave ends out.
    """

    reason: EndReason
    round: int
    result: str | None
    message: str | None = None
    head: bytes | None = None
