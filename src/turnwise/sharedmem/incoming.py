"""The receiving half: which of the sender's slots we hold, and the message that is being put together."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Final

from turnwise.sharedmem.arena import Arena
from turnwise.sharedmem.errors import PeerBroken
from turnwise.sharedmem.message import Message

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

    __slots__ = ("_closing", "_held", "_held_max", "_partial", "_resident_bytes", "_tell", "_touched", "arena", "due")

    def __init__(self, arena: Arena, tell: Callable[[], None]) -> None:
        self._tell = tell
        self._held = 0
        self._held_max = max(1, arena.geometry.slots // 2)
        self._partial: Partial | None = None
        self._closing = False
        self.due = 0
        self.replace(arena)

    def replace(self, arena: Arena) -> None:
        """Go on with another arena. Messages that are held stay in the old one, and their slots held."""
        self.arena = arena
        self._touched = [0] * arena.geometry.slots
        self._resident_bytes = 0

    def take_due(self) -> int:
        """The mask of slots to give back with the descriptor that is about to go."""
        due = self.due
        if due:
            self._held &= ~due
            self.due = 0
        return due

    def accept(self, slot: int, kind: int, length: int, remaining: int) -> Message | None:
        """Slots came. The message, or None while chunks of it are missing. Nonsense: PeerBroken."""
        geometry = self.arena.geometry
        mask = self._mask(slot, length)
        if mask & self._held or mask >> geometry.slots:
            raise PeerBroken("the peer sent memory that is not its own", expected=geometry.slots, actual=(slot, length))
        at = slot * geometry.slot_bytes
        body = self.arena.view[at : at + length]
        if remaining or self._partial is not None:
            return self._accept_chunk(slot, kind, body, remaining)
        if length > geometry.message_bytes_max:
            raise PeerBroken("the peer sent too much", expected=geometry.message_bytes_max, actual=length)
        self._held |= mask
        if self.due and self._held.bit_count() >= self._held_max:
            self._tell()
        return Message(kind, body, self, slot, length)

    def _mask(self, slot: int, length: int) -> int:
        """The slots in which a message lies, at least one."""
        slot_bytes = self.arena.geometry.slot_bytes
        if length <= slot_bytes:
            return 1 << slot
        return (1 << -(-length // slot_bytes)) - 1 << slot

    def _accept_chunk(self, slot: int, kind: int, chunk: memoryview, remaining: int) -> Message | None:
        length = len(chunk)
        partial = self._partial
        if partial is None:
            total = length + remaining
            if total > self.arena.geometry.message_bytes_max:
                raise PeerBroken(
                    "the peer announced too much", expected=self.arena.geometry.message_bytes_max, actual=total
                )
            partial = self._partial = Partial(kind, total)
        if length == 0 or partial.kind != kind or partial.left != length + remaining:
            raise PeerBroken("the peer's chunks do not fit together", expected=partial.left, actual=length + remaining)
        with chunk:
            partial.take(chunk)
        self._held |= self._mask(slot, length)
        if remaining:
            self.release(slot, length)
            return None
        # The last slot stays held as long as the message does: so no more messages can be open than there are slots.
        self._partial = None
        return Message(kind, memoryview(partial.memory).toreadonly(), self, slot, length, partial.memory)

    def discard(self) -> None:
        """The sender gives up the message of which we have some chunks. There is none: PeerBroken."""
        if self._partial is None:
            raise PeerBroken("the peer discarded a message that it had not begun")
        self._partial.memory.close()
        self._partial = None

    def release(self, slot: int, length: int) -> None:
        """The slots of a message, or of a chunk, are no longer needed."""
        self.due |= self._mask(slot, length)
        if self._closing:
            self.close()
            return
        self._trim(slot, length)
        if length >= PROMPT_BYTES or self._held.bit_count() >= self._held_max:
            self._tell()

    def _trim(self, slot: int, length: int) -> None:
        """Give pages back to the system if too many of the arena would stay in memory."""
        geometry = self.arena.geometry
        punch = self.arena.punch
        if geometry.resident_bytes_max is None or punch is None:
            return
        touched = self._touched
        while length > 0:
            part = min(length, geometry.slot_bytes)
            if part > touched[slot]:
                self._resident_bytes += part - touched[slot]
                touched[slot] = part
            if self._resident_bytes > geometry.resident_bytes_max:
                punch(slot * geometry.slot_bytes, geometry.slot_bytes)
                self._resident_bytes -= touched[slot]
                touched[slot] = 0
            slot += 1
            length -= part

    def close(self) -> None:
        """Forget the message that is not whole, and unmap the arena as soon as no message in it is held."""
        self._closing = True
        if self._partial is not None:
            self._partial.memory.close()
            self._partial = None
        if not self._held & ~self.due:
            self.arena.close()
