"""Random streams: chance as a function of names and counts, never of time or order.

Each stream is keyed by (run seed, agent *name*, the agent's own turn count[, effect index]). Adding an agent, a worker
or a round of somebody else's therefore shifts nobody's numbers. BLAKE2b (RFC 7693) gives the same bits everywhere.
"""

from __future__ import annotations

from hashlib import blake2b

_TURN = b"turnwise turn 1"
_EFFECT = b"turnwise effect"


def turn_seed(seed: int, agent: str, turn: int) -> str:
    """Seed of one turn, as 64 hex digits: what the guest's `random` is made from."""
    return blake2b(f"{seed} {turn} {agent}".encode(), digest_size=32, person=_TURN).hexdigest()


def effect_stream(seed: int, agent: str, turn: int, index: int) -> bytes:
    """Key (32 bytes) of the stream that answers the turn's effect number `index`."""
    return blake2b(f"{seed} {turn} {index} {agent}".encode(), digest_size=32, person=_EFFECT).digest()
