"""A turn's input, encoded when it is handed out and not before."""

from __future__ import annotations

from dataclasses import dataclass

from turnwise.core.envelope import ABI, quote
from turnwise.core.unguarded import unguarded


@unguarded
@dataclass(frozen=True, slots=True)
class TurnInput:
    """The input of one turn, not encoded yet.

    It refers to state and messages that exist anyway, so that a round's inputs take no memory before `encode` makes
    one of them; messages that many have in their inbox exist once.
    """

    name: str
    kind: str
    args: str
    """JSON text of an object."""
    round: int
    turn: int
    now_us: int
    seed: str
    """64 hex digits."""
    state: str
    mail: tuple[bytes, ...]
    """Messages as JSON, in the order of delivery."""
    backlog: int = 0
    """Number of messages that did not fit. The input has the member only if there are any."""

    @property
    def size_bytes(self) -> int:
        """About how large the encoded input is."""
        size, mail = len(self.args) + len(self.state), self.mail
        return size + sum(map(len, mail)) + len(mail) if mail else size

    def encode(self) -> bytes:
        """The input as JSON in UTF-8."""
        mail = self.mail
        start = (
            f'{{"abi":{ABI},"self":{quote(self.name)},"kind":{quote(self.kind)},"args":{self.args},'
            f'"round":{self.round},"turn":{self.turn},"now_us":{self.now_us},"seed":"{self.seed}",'
            f'"state":{quote(self.state)},"inbox":['
        )
        end = f'],"backlog":{self.backlog}}}' if self.backlog else "]}"
        return b"".join((start.encode(), b",".join(mail), end.encode())) if mail else f"{start}{end}".encode()
