"""The bound on all requests and replies of one turn's effects together.

Which replies fit follows from their sizes and their order in the turn, and not from the order in which they come: a
reply is refused exactly if it and all before it come to more than the bound. That is known as soon as those that have
come do, so the replies that are kept never take more than the bound either.
"""

from __future__ import annotations

from hashlib import sha256
from heapq import heappop, heappush

from turnwise.core.canonical import canonical
from turnwise.core.envelope import error_reply
from turnwise.core.turn import EffectRequest

_BY_EFFECTS_MIB = " (`effects_mib` of its kind)"


class EffectsBudget:
    """Counts the bytes of requests and replies. `bytes_max` None: no bound; `spent` were used before."""

    __slots__ = ("_bytes_max", "_kept", "_refused_from", "_sizes", "_spent")

    def __init__(self, bytes_max: int | None, spent: int = 0) -> None:
        self._bytes_max = bytes_max
        self._spent = spent
        self._kept: list[int] = []
        self._sizes: dict[int, int] = {}
        self._refused_from: int | None = None

    @property
    def spent(self) -> int:
        """Bytes that are used; 0 where there is no bound."""
        return self._spent

    def request(self, size: int) -> bool:
        """Count one more request if it fits; return whether it does."""
        if self._bytes_max is None:
            return True
        if self._spent + size > self._bytes_max:
            return False
        self._spent += size
        return True

    def next_call(self) -> None:
        """Begin another call, which has what the calls before it have left."""
        self._kept, self._sizes, self._refused_from = [], {}, None

    def reply(self, index: int, size: int) -> list[int]:
        """Count the reply to effect `index`. Returns the effects, perhaps this one, whose replies are refused now."""
        if self._bytes_max is None:
            return []
        if self._refused_from is not None and index > self._refused_from:
            return [index]
        heappush(self._kept, -index)
        self._sizes[index] = size
        self._spent += size
        refused: list[int] = []
        while self._kept and self._spent > self._bytes_max:
            last = -heappop(self._kept)
            self._spent -= self._sizes.pop(last)
            self._refused_from = last
            refused.append(last)
        return refused


def too_large(bytes_max: int | None) -> str:
    """The reply to an effect with which a turn would have more than the bound."""
    message = f"requests and replies of this turn's effects come to more than {bytes_max:,} bytes"
    return error_reply("refused", message + _BY_EFFECTS_MIB)


def is_too_large(reply: str) -> bool:
    """True if a recorded reply is the core's own, in place of one that came to more than a turn may have."""
    return reply.startswith('{"error":') and reply.endswith(_BY_EFFECTS_MIB + '"}}')


def without_content(request: EffectRequest) -> EffectRequest:
    """Return the request as it is recorded when it is refused for its size: size and hash stand for its content."""
    body = request.body.encode()
    facts = {"effect": request.kind, "model": request.model, "bytes": len(body), "sha256": sha256(body).hexdigest()}
    return EffectRequest(request.kind, request.model, canonical(facts))
