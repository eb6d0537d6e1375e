"""The answer of a step in which no round was played."""

from __future__ import annotations

from enum import Enum
from typing import Literal


class NoRound(Enum):
    """Reason why a step played no round. False where it is tested, as a round is not."""

    WAITING = "waiting"
    """Rest: no agent has anything to do; a message from outside may change that."""
    OVER = "over"
    """The run has ended, and its journal says how."""

    def __bool__(self) -> Literal[False]:
        return False
