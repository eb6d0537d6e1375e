"""The chance of a simulated run: one generator, drawn from in the order of what happens, and the faults it decides."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256
from random import Random

from turnwise.sim.faults import CALM, Faults


class Chance:
    """Draws for one run. `faults` may be changed while it goes on; `struck` counts the faults that were."""

    def __init__(self, seed: int) -> None:
        self.generator = Random(seed)
        self.faults: Faults = CALM
        self.struck: Counter[str] = Counter()
        self._trace = sha256()

    def random(self) -> float:
        """Return a number from 0 to 1."""
        return self.generator.random()

    def below(self, end: int) -> int:
        """Return a whole number from 0 to `end` - 1."""
        return self.generator.randrange(end)

    def bytes(self, count: int) -> bytes:
        return self.generator.randbytes(count)

    def strikes(self, fault: str) -> bool:
        """Decide whether a fault happens at this occasion."""
        rate: float = getattr(self.faults, fault)
        if not rate or self.generator.random() >= rate:
            return False
        self.struck[fault] += 1
        self.note(fault)
        return True

    def note(self, what: str) -> None:
        """Take note of what happens: two runs of one seed note the same."""
        self._trace.update(what.encode() + b"\n")

    @property
    def trace(self) -> str:
        """Digest of all that was noted so far."""
        return self._trace.hexdigest()
