"""What an agent gets from others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from turnwise_guest.jsontext import decode


@dataclass(frozen=True, slots=True)
class Message:
    """A message in the inbox.

    `sender` is the name of the agent that sent it, or ``"outside"`` for messages of the world file and of people.
    `round` is the round in which it was sent: the one before this turn's, or an earlier one.
    """

    sender: str
    body: str
    round: int

    def json(self) -> Any:
        """Return the body read as JSON, the counterpart of ``t.send(to, {"bid": 3})``.

        Raises `ValueError` if it is none.
        """
        return decode(self.body)
