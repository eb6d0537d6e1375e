"""Messages that an agent gets from others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from itertools import repeat
from json import JSONDecodeError
from operator import contains, itemgetter
from typing import Any, NamedTuple

from turnwise_guest.content import Handle
from turnwise_guest.jsontext import decode, short


class Message(NamedTuple):
    """A message in the inbox.

    `sender` is the name of the agent that sent it, or ``"outside"`` for messages of the world file and of people.
    `round` is the round in which it was sent: the one before this turn's, or an earlier one. `attach` is the handle of
    a content that came with it (`Turn.get` gives its bytes), or None.
    """

    sender: str
    body: str
    round: int
    attach: Handle | None = None

    def __repr__(self) -> str:
        return f"Message(sender={self.sender!r}, body={short(self.body)}, round={self.round})"

    def json(self) -> Any:
        """Return the body read as JSON, the counterpart of ``t.send(to, {"bid": 3})``.

        Raises `ValueError` if it is none, or is nested more than 1,000 levels deep: anybody may have written it.
        """
        try:
            return decode(self.body)
        except JSONDecodeError as error:
            told = f"the message of {self.sender} is not JSON but the text {short(self.body)}: read it as .body"
            raise JSONDecodeError(f"{told} ({error.msg})", error.doc, error.pos) from None


_sender, _body, _round = itemgetter("from"), itemgetter("body"), itemgetter("round")
_message = partial(tuple.__new__, Message)


def messages(inbox: Iterable[Mapping[str, Any]]) -> tuple[Message, ...]:
    """Read the envelope's inbox. No Python code runs for each message: there can be many thousands."""
    mail = list(inbox)
    attached: Iterable[Handle | None] = repeat(None)
    if any(map(contains, mail, repeat("attach"))):
        attached = [Handle(item["attach"]) if "attach" in item else None for item in mail]
    return tuple(map(_message, zip(map(_sender, mail), map(_body, mail), map(_round, mail), attached)))  # noqa: B905
