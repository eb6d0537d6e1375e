"""Messages that an agent has not read yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from turnwise.core.unguarded import unguarded


@unguarded
@dataclass(frozen=True, slots=True)
class Letter:
    """A message on its way to be read. All that it reaches have the same one, so that its body exists once."""

    seq: int
    text: bytes
    """The message as it stands in a turn's input: JSON in UTF-8."""


def fitting(letters: Sequence[Letter], bytes_max: int | None) -> int:
    """Count the letters that one turn reads: as many of the first as fit, commas counted, and at least one."""
    if bytes_max is None:
        return len(letters)
    size = 0
    for count, letter in enumerate(letters):
        size += len(letter.text) + 1
        if size > bytes_max and count:
            return count
    return len(letters)
