"""The orchestrator's end: on the event loop, without a task per message."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from turnwise.errors import EnvironmentFailure
from turnwise.sharedmem.endpoint import check_kind
from turnwise.sharedmem.errors import PeerGone
from turnwise.sharedmem.message import LinkMessage
from turnwise.sharedmem.parts import Flat, measure
from turnwise.sharedmem.wire import LoopWire

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Link:
    """Messages to and from one child. Used from the thread of the event loop in which it was made.

    `on_broken` is called once, in the loop, when the link cannot go on: the child broke the rules, or there is no
    memory for what it sends.
    """

    def __init__(self, wire: LoopWire, *, name: str, on_broken: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._name = name
        self._wire = wire
        self._on_broken = on_broken
        self._inbox: deque[LinkMessage] = deque()
        self._receiver: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._senders = asyncio.Lock()
        self._waiting = 0
        self._broken: EnvironmentFailure | None = None
        self._ended = False
        self._closed = False
        wire.start(self)

    def send_nowait(self, kind: int, *parts: Buffer) -> bool:
        """Send the parts as one message if there is room for it now; whether it was sent.

        PeerGone, PeerBroken: it will never be. NoMemory: there is no memory for it; nothing was sent.
        """
        flat, length = measure(parts)
        self._check(kind)
        return not self._waiting and self._put(kind, flat, length)

    async def send(self, kind: int, *parts: Buffer) -> None:
        """Send the parts as one message; waits only while there is no room. Messages go in the order of the calls.

        The parts must not change before it returns. Cancelled: the message was not sent. Errors as `send_nowait`.
        """
        flat, length = measure(parts)
        self._check(kind)
        if not self._waiting and self._put(kind, flat, length):
            return
        self._waiting += 1
        try:
            async with self._senders:
                while True:
                    self._check(kind)
                    if self._put(kind, flat, length):
                        return
                    self._room = self._loop.create_future()
                    await self._room
        finally:
            self._room = None
            self._waiting -= 1

    def _put(self, kind: int, flat: list[Flat], length: int) -> bool:
        try:
            return self._wire.put(kind, flat, length)
        except EnvironmentFailure as error:
            error.where = self._name
            raise

    async def receive(self) -> LinkMessage | None:
        """Return the next message, to be released when it has been read; None at end of file.

        What was sent before the end is still received. PeerBroken: the child broke the rules, and has been killed.
        NoMemory: there was no memory for what it wanted to send.
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

    def receive_nowait(self) -> LinkMessage | None:
        """Return the next message if it is there already; None otherwise, also at end of file."""
        return self._inbox.popleft() if self._inbox else None

    def receive_soon(self, wait_ms: int) -> LinkMessage | None:
        """Return the next message, waited for outside of the event loop, but not for longer; None otherwise.

        For messages that are known to come at once: it saves the loop's way around, and nothing else goes on meanwhile.
        What waits in `receive` stays asleep, unless more came than this message, or the end.
        """
        if not self._inbox:
            receiver, self._receiver = self._receiver, None
            try:
                self._wire.wait(wait_ms)
            finally:
                self._receiver = receiver
        message = self.receive_nowait()
        if self._inbox or self._ended:
            _wake(self._receiver)
        return message

    # -- told by the wire --------------------------------------------------------------------------------------------

    def on_message(self, message: LinkMessage) -> None:
        """A message came."""
        self._inbox.append(message)
        _wake(self._receiver)

    def on_room(self) -> None:
        """Wake the sender that waits for room."""
        _wake(self._room)

    def on_end(self) -> None:
        """End of file: the child has closed, or died."""
        self._ended = True
        _wake(self._receiver)
        _wake(self._room)

    def on_broken(self, error: EnvironmentFailure) -> None:
        """The link cannot go on."""
        error.where = self._name
        self._broken = error
        self.on_end()
        self._on_broken()

    # -- the end -----------------------------------------------------------------------------------------------------

    def _check(self, kind: int) -> None:
        if self._broken is not None:
            raise self._broken
        if self._ended or self._closed:
            raise PeerGone("the process is gone", where=self._name)
        check_kind(kind)

    def close(self) -> None:
        """Close: the child sees end of file, whoever waits here gets it too. Twice is harmless.

        Messages that nobody received are dropped; those that are held stay valid until released.
        """
        if self._closed:
            return
        self._closed = True
        self._wire.close()
        self.on_end()
        while self._inbox:
            self._inbox.popleft().release()


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
