"""The orchestrator's end of the memfd transport against a child that is a raw socket."""

from __future__ import annotations

import array
import asyncio
import mmap
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

if sys.platform != "linux":
    pytest.skip("memfd exists on Linux only", allow_module_level=True)

from turnwise.errors import EnvironmentFailure
from turnwise.sharedmem import LinkMessage, NoMemory, PeerBroken, PeerGone, memfd, memory_file, packet
from turnwise.sharedmem.memfd import MemfdLoopWire
from turnwise.sharedmem.transport import Geometry

PAGE = mmap.PAGESIZE
GEOMETRY = Geometry(slots=3, slot_bytes=PAGE)
LONG = 3 * PAGE


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


class Raw:
    """The child's socket, and what came through it."""

    def __init__(self, fd: int) -> None:
        self.socket = socket.socket(fileno=fd)
        first = self.take()
        assert (first[0], len(first[1])) == (packet.ARENAS, 2)
        self.arenas = first[1]

    def take(self) -> tuple[int, list[int], int, int]:
        """The next packet: operation, file descriptors, slot, length."""
        data, ancillary, _, _ = self.socket.recvmsg(17, socket.CMSG_SPACE(8))
        fds = array.array("i")
        for _, _, content in ancillary:
            fds.frombytes(content)
        operation, slot, _, length, _ = packet.FORMAT.unpack(data)
        return operation, list(fds), slot, length

    async def ask(self, slot: int, length: int) -> int:
        """Ask for a file, and get it."""
        self.send(packet.ASK, slot=slot, length=length)
        operation, fds, granted, got = await asyncio.to_thread(self.take)
        assert (operation, granted, got) == (packet.GRANT, slot, length)
        assert os.fstat(fds[0]).st_size == length
        return fds[0]

    def send(self, operation: int, **fields: int) -> None:
        self.socket.send(packet.pack(operation, **fields))

    def close(self) -> None:
        self.socket.close()
        for fd in self.arenas:
            os.close(fd)


@asynccontextmanager
async def wire_and_raw_end() -> AsyncIterator[tuple[MemfdLoopWire, Raw, Events]]:
    wire, events = MemfdLoopWire(asyncio.get_running_loop(), GEOMETRY), Events()
    raw = Raw(os.dup(wire.handle))
    wire.child_started()
    wire.start(events)
    try:
        yield wire, raw, events
    finally:
        wire.close()
        wire.close()
        raw.close()


async def broken(events: Events, match: str) -> EnvironmentFailure:
    """The breach that the receiver is told of."""
    told = await events.told.get()
    assert isinstance(told, EnvironmentFailure)
    assert match in told.message
    return told


def test_of_the_arenas_the_child_may_write_one(run: Any) -> None:
    async def main() -> None:
        async with wire_and_raw_end() as (_, raw, _):
            ours, its = raw.arenas
            with pytest.raises(PermissionError):
                memory_file.map_file(ours, GEOMETRY.arena_bytes, writable=True)
            memory_file.map_file(its, GEOMETRY.arena_bytes, writable=True).close()
            for fd in raw.arenas:
                with pytest.raises(PermissionError):
                    os.ftruncate(fd, 0)

    run(main())


def test_a_long_message_comes_in_a_file_that_nobody_can_change(run: Any) -> None:
    async def main() -> None:
        async with wire_and_raw_end() as (wire, raw, _):
            assert wire.put(7, [b"x" * LONG, b"y"], LONG + 1)
            operation, (fd,), slot, length = raw.take()
            assert (operation, slot, length) == (packet.LONG, 0, LONG + 1)
            assert os.pread(fd, length, 0) == b"x" * LONG + b"y"
            with pytest.raises(PermissionError):
                os.pwrite(fd, b"z", 0)
            os.close(fd)

    run(main())


def test_long_messages_take_slots_as_others_do(run: Any) -> None:
    async def main() -> None:
        async with wire_and_raw_end() as (wire, raw, events):
            assert [wire.put(1, [bytes(LONG)], LONG) for _ in range(4)] == [True, True, True, False]
            assert not wire.put(1, [b"short"], 5)
            raw.send(packet.RELEASE, released=0b010)
            assert await events.told.get() == "room"
            assert wire.put(1, [bytes(LONG)], LONG)
            assert [raw.take()[2] for _ in range(4)] == [0, 1, 2, 1]

    run(main())


def test_a_child_sends_a_long_message_in_a_file_that_it_asked_for(run: Any) -> None:
    async def main() -> None:
        async with wire_and_raw_end() as (wire, raw, events):
            fd = await raw.ask(2, LONG)
            memory_file.fill(fd, LONG, [b"z" * LONG])
            raw.send(packet.LONG, slot=2, kind=9, length=LONG)
            message = await events.told.get()
            assert isinstance(message, LinkMessage)
            with message:
                assert (message.kind, message.body.readonly) == (9, True)
                assert bytes(message.body) == b"z" * LONG
                with pytest.raises(PermissionError):
                    os.pwrite(fd, b"changed", 0)
            os.close(fd)
            assert wire._granted == {}

    run(main())


def test_a_long_message_that_is_kept_is_sent_on_as_the_file_that_it_is(run: Any) -> None:
    async def main() -> None:
        async with wire_and_raw_end() as (_, raw, events):
            fd = await raw.ask(2, LONG)
            memory_file.fill(fd, LONG, [b"z" * LONG])
            os.close(fd)
            raw.send(packet.LONG, slot=2, kind=9, length=LONG)
            message = await events.told.get()
            assert isinstance(message, LinkMessage)
            with message:
                kept = message.keep(LONG)
            assert bytes(kept) == b"z" * LONG
            sent = memory_file.file_of([kept], LONG)
            assert sent is not None
            os.close(sent)
            source = kept.obj
            descriptor = source.fd
            del kept
            source.close()
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(descriptor)

    run(main())


@pytest.mark.parametrize("length", [0, PAGE, memfd.machine_memory_bytes() + 1, 2**64 - 1])
def test_a_child_asks_for_no_more_and_no_less_than_a_long_message(run: Any, length: int) -> None:
    async def main() -> None:
        async with wire_and_raw_end() as (_, raw, events):
            raw.send(packet.ASK, length=length)
            assert isinstance(await broken(events, "no message of it can need"), PeerBroken)

    run(main())


def test_a_child_asks_once_for_each_of_its_slots(run: Any) -> None:
    async def main() -> None:
        async with wire_and_raw_end() as (_, raw, events):
            os.close(await raw.ask(0, LONG))
            raw.send(packet.ASK, slot=0, length=LONG)
            await broken(events, "not its own")

    run(main())


def test_a_file_that_was_not_asked_for_is_a_breach(run: Any) -> None:
    async def main() -> None:
        async with wire_and_raw_end() as (_, raw, events):
            raw.send(packet.LONG, slot=1, length=LONG)
            await broken(events, "had not asked for")

    run(main())


def test_another_length_than_was_asked_for_is_a_breach(run: Any) -> None:
    async def main() -> None:
        async with wire_and_raw_end() as (_, raw, events):
            os.close(await raw.ask(0, LONG))
            raw.send(packet.LONG, slot=0, length=LONG - 1)
            await broken(events, "another length")

    run(main())


def test_a_child_that_keeps_a_mapping_of_what_it_sent_is_broken(run: Any) -> None:
    async def main() -> None:
        async with wire_and_raw_end() as (_, raw, events):
            fd = await raw.ask(0, LONG)
            with memory_file.map_file(fd, LONG, writable=True) as mapping:
                mapping[:] = bytes(LONG)
                raw.send(packet.LONG, slot=0, length=LONG)
                await broken(events, "kept a hold")
            os.close(fd)

    run(main())


def test_a_child_that_never_wrote_what_it_sent_is_broken(run: Any) -> None:
    async def main() -> None:
        async with wire_and_raw_end() as (_, raw, events):
            os.close(await raw.ask(0, LONG))
            raw.send(packet.LONG, slot=0, length=LONG)
            await broken(events, "never wrote")

    run(main())


@pytest.mark.parametrize("operation", [packet.GRANT, packet.ARENAS, 0, 99])
def test_a_child_grants_nothing(run: Any, operation: int) -> None:
    async def main() -> None:
        async with wire_and_raw_end() as (_, raw, events):
            raw.send(operation, length=LONG)
            await broken(events, "means nothing")

    run(main())


def test_file_descriptors_that_a_child_sends_are_not_taken(run: Any) -> None:
    """They would fill the orchestrator's table."""

    async def main() -> None:
        async with wire_and_raw_end() as (_, raw, events):
            read, write = os.pipe()
            with socket.socket(fileno=os.dup(raw.socket.fileno())) as sender:
                data = packet.pack(packet.MESSAGE, slot=0, length=0)
                sender.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [write] * 20))])
            message = await events.told.get()
            assert isinstance(message, LinkMessage)
            message.release()
            os.close(write)
            # An end of file, since nobody has the other end any more.
            assert await asyncio.to_thread(os.read, read, 1) == b""
            os.close(read)

    run(main())


def refuse(*arguments: object, **options: object) -> None:
    raise OSError(24, "Too many open files")


def test_no_memory_for_what_is_sent_sends_nothing_and_the_link_goes_on(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with wire_and_raw_end() as (wire, raw, _):
            with monkeypatch.context() as patch:
                patch.setattr(os, "memfd_create", refuse)
                for _ in range(5):
                    with pytest.raises(NoMemory, match=r"12,288 bytes.*Too many open files"):
                        wire.put(1, [bytes(LONG)], LONG)
            assert wire.put(1, [b"short"], 5)
            assert raw.take()[:1] + raw_slot(wire) == (packet.MESSAGE, 0b110)

    run(main())


def raw_slot(wire: MemfdLoopWire) -> tuple[int]:
    return (wire.exchange.free,)


def test_no_memory_for_what_a_child_asks_for_is_no_breach_of_its(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with wire_and_raw_end() as (_, raw, events):
            with monkeypatch.context() as patch:
                patch.setattr(os, "memfd_create", refuse)
                raw.send(packet.ASK, slot=0, length=LONG)
                assert isinstance(await broken(events, "Too many open files"), NoMemory)

    run(main())


def test_the_end_of_the_child_is_told_once(run: Any) -> None:
    async def main() -> None:
        async with wire_and_raw_end() as (wire, raw, events):
            os.close(await raw.ask(0, LONG))
            raw.socket.close()
            assert await events.told.get() == "end"
            with pytest.raises(PeerGone):
                wire.put(1, [b"x"], 1)
            with pytest.raises(PeerGone):
                wire.put(1, [bytes(LONG)], LONG)
            assert events.told.empty()

    run(main())


@pytest.mark.parametrize("step", ["ftruncate", "mmap", "seal", "send"])
def test_a_wire_that_cannot_be_made_leaves_no_descriptor(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    opened: list[int] = []
    memfd_create, socketpair = os.memfd_create, socket.socketpair

    def note_file(name: str, flags: int) -> int:
        opened.append(memfd_create(name, flags))
        return opened[-1]

    def note_sockets(*arguments: Any) -> tuple[socket.socket, socket.socket]:
        pair = socketpair(*arguments)
        opened.extend(end.fileno() for end in pair)
        return pair

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with monkeypatch.context() as patch:
            patch.setattr(os, "memfd_create", note_file)
            patch.setattr(socket, "socketpair", note_sockets)
            target = {
                "ftruncate": (os, "ftruncate"),
                "mmap": (memfd, "map_file"),
                "seal": (memfd, "seal"),
                "send": (MemfdLoopWire, "_send_with"),
            }[step]
            patch.setattr(*target, refuse)
            with pytest.raises(OSError, match="Too many open files"):
                MemfdLoopWire(loop, GEOMETRY)
        assert len(opened) >= 3
        for fd in opened:
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(fd)

    asyncio.run(main())
