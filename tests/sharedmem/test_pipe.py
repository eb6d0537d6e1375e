"""Frames, threads and ends of the pipe."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from typing import Any

import pytest

from turnwise.errors import EnvironmentFailure
from turnwise.sharedmem import LinkMessage, PeerBroken, PeerGone
from turnwise.sharedmem.pipe import PipeBlockingWire, PipeLoopWire
from turnwise.sharedmem.transport import MESSAGES_AHEAD_MAX

if sys.platform == "win32":
    pytest.skip("pipe ends have no file descriptor to duplicate there", allow_module_level=True)


class Events:
    """A receiver that keeps what it is told, in order."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[LinkMessage | EnvironmentFailure | str] = asyncio.Queue()

    def on_message(self, message: LinkMessage) -> None:
        self.told.put_nowait(message)

    def on_room(self) -> None:
        self.told.put_nowait("room")

    def on_end(self) -> None:
        self.told.put_nowait("end")

    def on_broken(self, error: EnvironmentFailure) -> None:
        self.told.put_nowait(error)


@asynccontextmanager
async def wire_and_raw_end() -> AsyncIterator[tuple[PipeLoopWire, Connection, Events]]:
    wire, events = PipeLoopWire(asyncio.get_running_loop()), Events()
    raw: Any = Connection(os.dup(wire.handle))
    wire.child_started()
    wire.start(events)
    try:
        yield wire, raw, events
    finally:
        wire.close()
        wire.close()
        raw.close()
        await asyncio.to_thread(wire.join)


def test_a_frame_is_the_body_and_then_the_kind(run: Any) -> None:
    async def main() -> None:
        async with wire_and_raw_end() as (wire, raw, events):
            assert wire.put(0x0102, [b"bo", bytearray(b"dy")], 4)
            assert await asyncio.to_thread(raw.recv_bytes) == b"body\x02\x01"
            raw.send_bytes(b"back\x07\x00")
            message = await events.told.get()
            assert isinstance(message, LinkMessage)
            with message:
                assert (message.kind, bytes(message.body), message.body.readonly) == (7, b"back", True)

    run(main())


def test_an_empty_frame_says_goodbye(run: Any) -> None:
    async def main() -> None:
        async with wire_and_raw_end() as (_, raw, events):
            raw.send_bytes(b"")
            assert await events.told.get() == "end"
            with pytest.raises(EOFError):
                await asyncio.to_thread(raw.recv_bytes)

    run(main())


def test_a_frame_without_a_kind_breaks_the_link(run: Any) -> None:
    async def main() -> None:
        async with wire_and_raw_end() as (_, raw, events):
            raw.send_bytes(b"x")
            assert isinstance(await events.told.get(), PeerBroken)

    run(main())


def test_the_middle_of_a_frame_may_be_its_end(run: Any) -> None:
    async def main() -> None:
        async with wire_and_raw_end() as (_, raw, events):
            os.write(raw.fileno(), (100).to_bytes(4, "big") + b"not all of it")
            raw.close()
            assert await events.told.get() == "end"

    run(main())


def test_no_more_is_read_than_may_be_unreleased(run: Any) -> None:
    async def main() -> None:
        async with wire_and_raw_end() as (_, raw, events):
            for number in range(MESSAGES_AHEAD_MAX + 1):
                raw.send_bytes(number.to_bytes(1, "big") + b"\x01\x00")
            held = [await events.told.get() for _ in range(MESSAGES_AHEAD_MAX)]
            # One more cannot be taken in before one is released; then it is, and it alone.
            assert events.told.empty()
            assert all(isinstance(one, LinkMessage) for one in held)
            held[0].release()  # type: ignore[union-attr]
            last = await events.told.get()
            assert isinstance(last, LinkMessage)
            assert bytes(last.body) == bytes([MESSAGES_AHEAD_MAX])
            for one in [*held[1:], last]:
                one.release()  # type: ignore[union-attr]

    run(main())


def test_a_child_that_does_not_read_is_refused_more_until_it_does(run: Any) -> None:
    async def main() -> None:
        async with wire_and_raw_end() as (wire, raw, events):
            sent = [wire.put(1, [bytes(1_000_000)], 1_000_000) for _ in range(MESSAGES_AHEAD_MAX + 1)]
            assert sent == [True] * MESSAGES_AHEAD_MAX + [False]
            for _ in range(MESSAGES_AHEAD_MAX):
                assert len(await asyncio.to_thread(raw.recv_bytes)) == 1_000_002
            assert await events.told.get() == "room"
            assert wire.put(1, [b"goes on"], 7)
            assert await asyncio.to_thread(raw.recv_bytes) == b"goes on\x01\x00"

    run(main())


def test_the_child_s_end_sees_the_goodbye_and_a_pipe_that_is_gone(run: Any) -> None:
    async def main() -> None:
        wire = PipeLoopWire(asyncio.get_running_loop())
        child = PipeBlockingWire(os.dup(wire.handle))
        wire.start(Events())
        wire.child_started()
        assert not child.poll()
        wire.close()
        with pytest.raises(EOFError):
            await asyncio.to_thread(child.take)
        child.close()
        await asyncio.to_thread(wire.join)
        with pytest.raises(PeerGone):
            child.put(1, [b"x"], 1)

    run(main())


def test_a_wire_that_is_closed_unused_leaves_no_thread(run: Any) -> None:
    async def main() -> None:
        wire = PipeLoopWire(asyncio.get_running_loop())
        wire.close()
        wire.close()
        wire.join()

    run(main())
