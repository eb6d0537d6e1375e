"""Events, which the machine is told, and actions, which it wants carried out."""

from __future__ import annotations

from dataclasses import dataclass

from turnwise.core.contents import Content, Kept, Reply
from turnwise.core.plan import Limits
from turnwise.core.records import (
    AgentRecord,
    ChangeRecord,
    EndRecord,
    ParkRecord,
    RoundRecord,
    TurnRecord,
    WaveRecord,
)
from turnwise.core.snapshot import Snapshot
from turnwise.core.turn import EffectRequest, Outcome
from turnwise.core.turn_input import TurnInput
from turnwise.core.unguarded import unguarded

# -- events ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Advance:
    """Begin the next round, or end the run. Between rounds only."""


@dataclass(frozen=True, slots=True)
class Input:
    """A message from outside, for an agent or a group. It can be read in the round that begins next.

    It comes after round `after`, if that is later: the first round that can read it is the one behind it.
    """

    to: str
    body: str
    after: int = 0


@dataclass(frozen=True, slots=True)
class OutsideChange:
    """A change from outside. The next round begins with it, and comes at once, even if nobody moves in it."""

    record: ChangeRecord


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer from outside to the question of this number. The next round begins with it, and comes at once.

    It comes after round `after`, if that is later. `asked` is the SHA-256 (hex) of the question that is meant, if a
    number alone may mean another. What answers no open question then has no effect.
    """

    question: int
    reply: str
    after: int = 0
    asked: str | None = None


@unguarded
@dataclass(frozen=True, slots=True)
class TurnEnded:
    """A sandbox has executed a turn. `fuel` is what this execution used; `stdout` what it printed."""

    place: int
    outcome: Outcome
    fuel: int
    stdout: str = ""


@dataclass(frozen=True, slots=True)
class TurnTaken:
    """A turn is taken as it is recorded, since what it was given is not there to execute it again.

    `children` are the agents that it spawned, as they are recorded.
    """

    record: TurnRecord | ParkRecord
    children: tuple[AgentRecord, ...] = ()


@unguarded
@dataclass(frozen=True, slots=True)
class EffectAnswered:
    """An effect has been answered; `reply` is canonical JSON text, ``{"ok": …}`` or ``{"error": …}``.

    `tokens` are those that a language model's answer is made of, for the record only: no turn is told. Of a call,
    `reply` is its outcome, which may be that its server asks people or models.
    """

    place: int
    index: int
    reply: str
    tokens: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class CallLeft:
    """A call of a tool is not waited for any more: its turn parks with it, and goes on when its outcome comes."""

    place: int
    index: int


@dataclass(frozen=True, slots=True)
class WaveRun:
    """A model has answered effects of this round together. Comes before their `EffectAnswered`."""

    record: WaveRecord


Event = Advance | Input | OutsideChange | Answer | TurnEnded | TurnTaken | EffectAnswered | CallLeft | WaveRun

# -- actions -----------------------------------------------------------------------------------------------------


@unguarded
@dataclass(frozen=True, slots=True)
class Execute:
    """Execute a turn from its start, in a fresh sandbox. `replies` answer its calls of `effect`, in order.

    `fuel` is what its earlier executions have left, `code` the hash of what is executed. Answer with `TurnEnded`.
    """

    place: int
    kind: str
    input: TurnInput
    replies: tuple[Reply, ...]
    fuel: int
    limits: Limits
    code: str


@unguarded
@dataclass(frozen=True, slots=True)
class Request:
    """Answer an effect with `EffectAnswered`. `stream` keys its random stream, `now_us` is the turn's virtual time.

    `contents` are those that it names as inputs, by their handles. `turn` counts the agent's own. A call of a tool that
    goes on after its server has asked people or models `stage` times has their `answers` (`turnwise.core.calling`).
    """

    place: int
    index: int
    request: EffectRequest
    stream: bytes
    now_us: int
    contents: tuple[tuple[str, Kept], ...] = ()
    turn: int = 0
    stage: int = 0
    answers: str | None = None


@dataclass(frozen=True, slots=True)
class Keep:
    """Keep a content that a turn has put: it may be asked for from now on, and is in the record of its round."""

    kept: Kept
    content: Content


@unguarded
@dataclass(frozen=True, slots=True)
class Commit:
    """Make a round durable. The next may begin meanwhile, since turns are pure.

    `end` is the end of the run that the round itself brought about (finished, or failed), to be made durable together
    with it; `End` still follows the next `Advance`. `snapshot` is one of the world after the round, where it is due.
    """

    record: RoundRecord
    end: EndRecord | None = None
    snapshot: Snapshot | None = None


@dataclass(frozen=True, slots=True)
class End:
    """The run is over. Nothing can follow."""

    record: EndRecord


Action = Execute | Request | Keep | Commit | End
