"""The orchestrator's end: on the event loop, without a task per message."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from turnwise.sharedmem.arena import Arena
from turnwise.sharedmem.errors import PeerBroken, PeerGone
from turnwise.sharedmem.exchange import Exchange
from turnwise.sharedmem.message import Message
from turnwise.sharedmem.outgoing import Flat, Rest, measure
from turnwise.sharedmem.wire import LoopWire

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Link:
    """Messages to and from one child. Used from the thread of the event loop in which it was made.

    `on_broken` is called once, in the loop, when the child breaks the rules.
    """

    def __init__(
        self, wire: LoopWire, *, name: str, outgoing: Arena, incoming: Arena, on_broken: Callable[[], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._name = name
        self._wire = wire
        self._exchange = Exchange(outgoing, incoming, self._tell)
        self._outgoing = self._exchange.outgoing
        self._on_broken = on_broken
        self._inbox: deque[Message] = deque()
        self._receiver: asyncio.Future[None] | None = None
        self._slot_waiter: asyncio.Future[None] | None = None
        self._senders = asyncio.Lock()
        self._waiting = 0
        self._broken: PeerBroken | None = None
        self._ended = False
        self._closed = False
        wire.start(self._take, self._end)

    def send_nowait(self, kind: int, *parts: Buffer) -> bool:
        """Send the parts as one message if there are slots for all of it now; whether it was sent.

        PeerGone, PeerBroken: it will never be. MessageTooLarge: nothing was sent.
        """
        flat, length = measure(parts)
        return self._send_now(kind, flat, length)

    async def send(self, kind: int, *parts: Buffer) -> None:
        """Send the parts as one message; waits only while there is no slot. Messages go in the order of the calls.

        The parts must not change before it returns. Cancelled: the message was not sent. Errors as `send_nowait`.
        """
        flat, length = measure(parts)
        if self._send_now(kind, flat, length):
            return
        self._waiting += 1
        try:
            async with self._senders:
                await self._send_waiting(kind, flat, length)
        finally:
            self._waiting -= 1

    def _send_now(self, kind: int, flat: Sequence[Flat], length: int) -> bool:
        outgoing = self._outgoing
        self._check_open()
        outgoing.check(kind, length)
        if self._waiting:
            return False
        slot = outgoing.place(length)
        if slot is not None:
            self._transmit(self._exchange.message_packet(slot, kind, flat, length))
            return True
        if not outgoing.free or length > outgoing.free.bit_count() * outgoing.slot_bytes:
            return False
        rest = Rest(flat, length)
        while rest.length:
            self._transmit(self._exchange.chunk_packet(kind, rest))
        return True

    async def _send_waiting(self, kind: int, flat: Sequence[Flat], length: int) -> None:
        outgoing = self._outgoing
        await self._wait_for_slot()
        slot = outgoing.place(length)
        if slot is not None:
            self._transmit(self._exchange.message_packet(slot, kind, flat, length))
            return
        rest = Rest(flat, length)
        try:
            while rest.length:
                await self._wait_for_slot()
                self._transmit(self._exchange.chunk_packet(kind, rest))
        except asyncio.CancelledError:
            if 0 < rest.length < length and self._open:
                self._transmit(self._exchange.discard_packet())
            raise

    async def _wait_for_slot(self) -> None:
        """Wait for a free slot. `_senders` is held, so nobody else waits."""
        while True:
            self._check_open()
            if self._outgoing.free:
                return
            self._slot_waiter = self._loop.create_future()
            try:
                await self._slot_waiter
            finally:
                self._slot_waiter = None

    async def receive(self) -> Message | None:
        """The next message, to be released when it has been read; None at end of file.

        What was sent before the end is still received. PeerBroken: the child broke the rules, and has been killed.
        """
        while True:
            if self._inbox:
                return self._inbox.popleft()
            if self._broken is not None:
                raise self._broken
            if self._ended:
                return None
            if self._receiver is not None:
                raise RuntimeError(f"two tasks wait for messages of {self._name}")
            self._receiver = self._loop.create_future()
            try:
                await self._receiver
            finally:
                self._receiver = None

    def receive_nowait(self) -> Message | None:
        """The next message if it is there already; None otherwise, also at end of file."""
        return self._inbox.popleft() if self._inbox else None

    def _take(self, packet: bytes) -> None:
        """A packet came."""
        try:
            message = self._exchange.feed(packet)
            if message is not None:
                self._inbox.append(message)
                self._wake(self._receiver)
            elif self._exchange.attached:
                self._wire.on_attached()
        except PeerBroken as error:
            self._break(error)
            return
        except OSError as error:  # no memory to put a long message together
            self._break(PeerBroken(f"a message of {self._name} could not be received: {error}"))
            return
        if self._exchange.closed_by_peer:
            self._end()
        elif self._outgoing.free:
            self._trim()
            self._wake(self._slot_waiter)

    def _trim(self) -> None:
        """Give the memory of long messages back, once the child has read them.

        The seal that makes the arena read-only for the child forbids punching holes as well, so a new arena takes
        its place.
        """
        outgoing = self._outgoing
        if not outgoing.wasteful:
            return
        try:
            arena = self._wire.send_new_arena()
        except OSError:
            return  # no memory or no file descriptor for it now, or the child is gone: the old one still serves
        old = outgoing.arena
        outgoing.replace(arena)
        old.close()

    def _end(self) -> None:
        """End of file: the child has closed, or died."""
        self._ended = True
        self._wake(self._receiver)
        self._wake(self._slot_waiter)

    def _break(self, error: PeerBroken) -> None:
        error.where = self._name
        self._broken = error
        self._wire.close()
        self._end()
        self._on_broken()

    def _transmit(self, packet: bytes) -> None:
        try:
            self._wire.send(packet)
        except BlockingIOError as error:
            # An honest child never leaves so many packets unread, since each needs a slot.
            self._break(PeerBroken("the peer does not read what it is sent"))
            assert self._broken is not None
            raise self._broken from error
        except OSError as error:
            raise self._gone() from error

    def _tell(self) -> None:
        """Give slots back now. That the child is gone is for `receive` and `send` to say."""
        packet = self._exchange.release_packet()
        if packet is None or not self._open:
            return
        try:
            self._wire.send(packet)
        except BlockingIOError:
            self._break(PeerBroken("the peer does not read what it is sent"))
        except OSError:
            pass  # end of file comes next

    @property
    def _open(self) -> bool:
        return self._broken is None and not self._ended and not self._closed

    def _check_open(self) -> None:
        if self._broken is not None:
            raise self._broken
        if self._ended or self._closed:
            raise self._gone()

    def _gone(self) -> PeerGone:
        return PeerGone("the process is gone", where=self._name)

    def _wake(self, waiter: asyncio.Future[None] | None) -> None:
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def close(self) -> None:
        """Close: the child sees end of file, whoever waits here gets it too. Twice is harmless.

        Messages that nobody received are dropped; those that are held stay valid until released.
        """
        if self._closed:
            return
        self._closed = True
        self._wire.close()
        self._end()
        while self._inbox:
            self._inbox.popleft().release()
        self._exchange.close()
