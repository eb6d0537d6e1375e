"""What an agent gets from others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple

from turnwise_guest.jsontext import decode


class Message(NamedTuple):
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


_fields = itemgetter("from", "body", "round")
_message = partial(tuple.__new__, Message)


def messages(inbox: Iterable[Mapping[str, Any]]) -> tuple[Message, ...]:
    """Read the envelope's inbox. No Python code runs for each message: there can be many thousands."""
    return tuple(map(_message, map(_fields, inbox)))
