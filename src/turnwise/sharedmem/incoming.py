"""The receiving half: which of the sender's slots we hold, and the message that is being put together."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Final

from turnwise.sharedmem.arena import Arena
from turnwise.sharedmem.errors import PeerBroken
from turnwise.sharedmem.message import Message
from turnwise.sharedmem.touched import COUNTED_BYTES_MIN, Touched

PROMPT_BYTES: Final = 1024 * 1024
"""Slots that held at least this much are given back at once; smaller ones with the next descriptor that goes anyway."""


class Partial:
    """A message of several chunks, of which some are there. Its memory is committed as they come, not as announced."""

    __slots__ = ("kind", "left", "memory", "total")

    def __init__(self, kind: int, total: int) -> None:
        self.kind = kind
        self.total = total
        self.left = total
        self.memory = mmap.mmap(-1, total)

    def take(self, chunk: memoryview) -> None:
        at = self.total - self.left
        self.memory[at : at + len(chunk)] = chunk
        self.left -= len(chunk)


class Incoming:
    """Slots of the arena that we read. A slot is held from its descriptor until we have told that it is given back.

    `due` is the mask of slots which we no longer need but have not told of yet. It rides on the next descriptor; it
    is told at once (`tell`) when half of the slots are held, so that a sender never waits for a slot nobody needs.
    """

    __slots__ = (
        "_all",
        "_closing",
        "_held",
        "_held_max",
        "_message_bytes_max",
        "_partial",
        "_slot_bytes",
        "_tell",
        "_touched",
        "arena",
        "due",
    )

    def __init__(self, arena: Arena, tell: Callable[[], None]) -> None:
        self._tell = tell
        self._held = 0
        self._partial: Partial | None = None
        self._closing = False
        self.due = 0
        self.replace(arena)

    def replace(self, arena: Arena) -> None:
        """Go on with another arena. Messages that are held stay in the old one, and their slots held."""
        geometry = arena.geometry
        self.arena = arena
        self._all = (1 << geometry.slots) - 1
        self._held_max = max(1, geometry.slots // 2)
        self._slot_bytes = geometry.slot_bytes
        self._message_bytes_max = geometry.message_bytes_max
        self._touched = Touched(geometry)

    def take_due(self) -> int:
        """The mask of slots to give back with the descriptor that is about to go."""
        due = self.due
        if due:
            self._held &= ~due
            self.due = 0
        return due

    def accept(self, slot: int, kind: int, length: int, remaining: int) -> Message | None:
        """Slots came. The message, or None while chunks of it are missing. Nonsense: PeerBroken."""
        mask = 1 << slot if length <= self._slot_bytes else self._run(slot, length)
        if mask & self._held or mask > self._all:
            raise PeerBroken(
                "the peer sent memory that is not its own", expected=self._all & ~self._held, actual=(slot, length)
            )
        at = slot * self._slot_bytes
        body = self.arena.view[at : at + length]
        if remaining or self._partial is not None:
            return self._accept_chunk(mask, kind, body, remaining)
        if length > self._message_bytes_max:
            raise PeerBroken("the peer sent too much", expected=self._message_bytes_max, actual=length)
        self._held |= mask
        if self.due and self._held.bit_count() >= self._held_max:
            self._tell()
        return Message(kind, body, self, mask, length)

    def _run(self, slot: int, length: int) -> int:
        """The slots in which a message lies that is longer than one."""
        return (1 << -(-length // self._slot_bytes)) - 1 << slot

    def _accept_chunk(self, mask: int, kind: int, chunk: memoryview, remaining: int) -> Message | None:
        length = len(chunk)
        partial = self._partial
        if partial is None:
            total = length + remaining
            if total > self._message_bytes_max:
                raise PeerBroken("the peer announced too much", expected=self._message_bytes_max, actual=total)
            partial = self._partial = Partial(kind, total)
        if length == 0 or partial.kind != kind or partial.left != length + remaining:
            raise PeerBroken("the peer's chunks do not fit together", expected=partial.left, actual=length + remaining)
        with chunk:
            partial.take(chunk)
        self._held |= mask
        if remaining:
            self.release(mask, length)
            return None
        # Its last slot stays held as long as the message does: so no more messages can be open than there are slots.
        self._partial = None
        return Message(kind, memoryview(partial.memory).toreadonly(), self, mask, length, partial.memory)

    def discard(self) -> None:
        """The sender gives up the message of which we have some chunks. There is none: PeerBroken."""
        if self._partial is None:
            raise PeerBroken("the peer discarded a message that it had not begun")
        self._partial.memory.close()
        self._partial = None

    def release(self, mask: int, length: int) -> None:
        """The slots of a message, or of a chunk, are no longer needed."""
        self.due |= mask
        if self._closing:
            self.close()
            return
        if length >= COUNTED_BYTES_MIN:
            self._trim(mask, length)
        if length >= PROMPT_BYTES or self._held.bit_count() >= self._held_max:
            self._tell()

    def _trim(self, mask: int, length: int) -> None:
        """Give the pages of these slots back to the system if too many of the arena would stay in memory."""
        resident_bytes_max = self.arena.geometry.resident_bytes_max
        punch = self.arena.punch
        if resident_bytes_max is None or punch is None:
            return
        touched = self._touched
        slot = (mask & -mask).bit_length() - 1
        touched.note(slot, length)
        while touched.bytes > resident_bytes_max and mask >> slot:
            punch(slot * self._slot_bytes, self._slot_bytes)
            touched.forget(slot)
            slot += 1

    def close(self) -> None:
        """Forget the message that is not whole, and unmap the arena as soon as no message in it is held."""
        self._closing = True
        if self._partial is not None:
            self._partial.memory.close()
            self._partial = None
        if not self._held & ~self.due:
            self.arena.close()
