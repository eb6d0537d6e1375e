"""The parts of a message before it is sent: buffers of any kind, as bytes in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

Flat = bytes | bytearray | memoryview
"""A buffer whose `len` is its number of bytes."""


def flatten(part: Buffer) -> Flat:
    """A buffer of any format and shape as bytes in order, without a copy. One that is not contiguous is a TypeError."""
    if type(part) is bytes:
        return part
    view = memoryview(part)
    if view.nbytes == 0:
        return b""
    return view if view.format == "B" and view.ndim == 1 and view.c_contiguous else view.cast("B")


def measure(parts: Sequence[Buffer]) -> tuple[list[Flat], int]:
    """Return the parts as bytes, not copied, and their number of bytes."""
    flat = [part if type(part) is bytes else flatten(part) for part in parts]
    length = 0
    for part in flat:
        length += len(part)
    return flat, length


def copy(parts: Sequence[Flat], target: memoryview, at: int = 0) -> None:
    """Copy the parts into `target`, one behind the other, from `at` on."""
    for part in parts:
        end = at + len(part)
        target[at:end] = part
        at = end
