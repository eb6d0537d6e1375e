"""Faults: what may go wrong in a simulated run, and how often."""

from __future__ import annotations

from dataclasses import dataclass, fields
from random import Random
from typing import Final, Self

_PROBABLE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Faults:
    """Probabilities of faults, each at the occasion that is named. All are 0 unless given; `drawn` draws some.

    Of a message between the orchestrator and a child process, either way:

    - `lose`: it never arrives
    - `duplicate`: it arrives twice
    - `reorder`: those after it overtake it
    - `delay`: it takes seconds
    - `garble`: other bytes arrive, or part of them, or another kind

    Of a child process, at each message that it gets:

    - `kill`: it is killed in the next moments
    - `hang`: it stands still from now on
    - `lack`: it reports that the machine refuses it memory
    - `lie`: it breaks the rules of what it may send

    Of a server of tools, at each call (`delay` lets one take seconds, too):

    - `drop`: it ends before it has done anything
    - `vanish`: it ends when it has, and nobody hears of it
    - `late`: it has done it, and is given up for its answer comes too late

    Of the machine:

    - `refuse`: a process cannot be started
    - `full`: the disk is full from this commit on, until somebody resumes the run
    - `torn`: a commit is reported as failed; whether it is on disk, chance says
    - `clock`: the wall clock is set, at each look at it
    - `crash`: the orchestrator is killed, at each round that it plays
    - `leave`: the orchestrator is closed in order, at each round that it plays
    """

    lose: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay: float = 0.0
    garble: float = 0.0
    kill: float = 0.0
    hang: float = 0.0
    lack: float = 0.0
    lie: float = 0.0
    drop: float = 0.0
    vanish: float = 0.0
    late: float = 0.0
    refuse: float = 0.0
    full: float = 0.0
    torn: float = 0.0
    clock: float = 0.0
    crash: float = 0.0
    leave: float = 0.0

    @classmethod
    def drawn(cls, chance: Random) -> Self:
        """Draw which faults there are and how often: about half of them, since too many hide one another."""
        rates = {}
        for item in fields(cls):
            rate, there = chance.random(), chance.random() < 0.5
            rates[item.name] = _PROBABLE * rate * rate if there else 0.0
        rates["crash"] = 0.3 * chance.random()
        return cls(**rates)


CALM: Final = Faults()
"""No faults."""
