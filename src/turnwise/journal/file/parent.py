"""The run that a fork goes on from, as its journal names it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from turnwise.core.canonical import canonical

_NUMBERS: Final = ("round", "agents", "messages", "blobs", "writers")


@dataclass(frozen=True, slots=True)
class Parent:
    """A journal, and where a fork left it. Beyond the head, all numbers say where the fork's own rows begin."""

    path: str
    """Path of its file, relative to the folder of the fork's, or absolute."""
    head: bytes
    """Head after the round."""
    round: int
    """Last round that both have; 0 before the first."""
    agents: int
    """Agents that ever were, after the round."""
    messages: int
    """Messages that were sent up to the round."""
    blobs: int
    """Highest number of a blob when the fork was made."""
    writers: int
    """Highest number of a writer when the fork was made."""

    def to_json(self) -> str:
        """Return the text that a journal holds of it."""
        members: dict[str, Any] = {name: getattr(self, name) for name in _NUMBERS}
        return canonical(members | {"path": self.path, "head": self.head.hex()})

    @classmethod
    def from_json(cls, text: str) -> Parent:
        """Read such a text. Raises ValueError for another."""
        try:
            values = json.loads(text)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        if not isinstance(values, dict) or values.keys() != {*_NUMBERS, "path", "head"}:
            raise ValueError("its members are others")
        if type(values["path"]) is not str or type(values["head"]) is not str:
            raise ValueError("path or head is no text")
        if any(type(values[name]) is not int or not 0 <= values[name] < 2**62 for name in _NUMBERS):
            raise ValueError("a number is none")
        head = bytes.fromhex(values["head"])
        if len(head) != 32:
            raise ValueError("the head is no SHA-256")
        return cls(values["path"], head, *(values[name] for name in _NUMBERS))
