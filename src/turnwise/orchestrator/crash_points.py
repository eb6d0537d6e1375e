"""Places at which a crash must lose nothing and double nothing, by name: tests end the process at each of them.

A place is named where it lies in the code. Nothing happens there unless somebody has asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

CrashPoint = Literal[
    "call: asked",
    "call: intent durable",
    "call: outcome here",
    "call: outcome durable",
    "call: parking",
    "call: park durable",
    "call: parked",
    "call: answered",
    "round: handed over",
]
"""A place: before the intent is written, before the call is handed over, before and after its outcome is written,
before and after the note that it parks, behind the core's knowing that, behind its knowing the outcome, and when a
round is on its way to the disk."""

CRASH_POINTS: tuple[CrashPoint, ...] = get_args(CrashPoint)

_told: list[Callable[[CrashPoint], None]] = []


def reached(point: CrashPoint) -> None:
    """Tell whoever has asked that a place is reached."""
    for tell in _told:
        tell(point)


def tell_of_points(tell: Callable[[CrashPoint], None]) -> None:
    """Have a function told each place that is reached from here on."""
    _told.append(tell)
