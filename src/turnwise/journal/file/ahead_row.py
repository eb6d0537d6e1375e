"""A row of `ahead`: knowledge of an effect before its round is committed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AheadRow:
    """An effect of a turn that is not committed, or waits.

    Rows of one effect add up: what is once known of it stays.
    """

    place: int
    """Place of the agent."""
    turn: int
    """Number of the turn among the agent's own."""
    index: int
    """Number of the effect in the turn, from 0."""
    stage: int
    """Times that the server of a call has asked people or models before."""
    request: str
    """Request, canonical JSON text."""
    is_made: bool = False
    """True if it was about to be handed over: nobody but the outcome can say what became of it."""
    is_parked: bool = False
    """True if its turn was to park with it."""
    outcome: str | None = None
    """Reply, or outcome of a call; None if it is not known."""
    tokens: tuple[int, ...] | None = None
    """Tokens of a language model's answer."""

    @property
    def key(self) -> tuple[int, int, int, int]:
        """Place, turn, index and stage."""
        return self.place, self.turn, self.index, self.stage
