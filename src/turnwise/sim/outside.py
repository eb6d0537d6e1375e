"""The world outside of a simulated run, which a killed orchestrator leaves as it is: what tools have done, and said."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from turnwise.core.events import Request

CallKey = tuple[int, int, int, int]
"""A call: place, turn, number of the effect, and how often its server has asked people or models."""


@dataclass(slots=True)
class OutsideWorld:
    """Effects of calls over all lives of a run."""

    made: Counter[CallKey] = field(default_factory=Counter)
    """Times that each call has had its effect."""
    is_idempotent: dict[CallKey, bool] = field(default_factory=dict)
    """True for each call that may have its effect again."""
    said: dict[CallKey, list[str]] = field(default_factory=dict)
    """Outcomes that servers gave, in order."""


def key_of(request: Request) -> CallKey:
    """Return what a call is known by outside."""
    return request.place, request.turn, request.index, request.stage
