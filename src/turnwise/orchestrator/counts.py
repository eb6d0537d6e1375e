"""Counts of a run that is under way."""

from __future__ import annotations

from dataclasses import dataclass

from turnwise.core.records import RoundRecord


@dataclass(slots=True)
class Counts:
    """Counts of what has been done so far, for display."""

    rounds: int = 0
    turns: int = 0
    failures: int = 0
    messages: int = 0
    effects: int = 0

    def add(self, record: RoundRecord) -> None:
        """Count a round."""
        self.rounds += 1
        self.turns += len(record.turns)
        self.messages += len(record.messages) + len(record.inputs)
        self.effects += sum(len(park.effects) for park in record.parks)
        for turn in record.turns:
            self.effects += len(turn.effects)
            if turn.failure is not None:
                self.failures += 1
