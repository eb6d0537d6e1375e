"""The orchestrator's end against the other end of the wire in the same process: honest, slow, and hostile."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from turnwise.sharedmem import Endpoint, Link, MessageTooLarge, PeerBroken, PeerGone, Transport, descriptor
from turnwise.sharedmem.peer import make_wire
from turnwise.sharedmem.transport import Geometry

if sys.platform == "win32":
    pytest.skip("pipe ends have no file descriptor to duplicate there", allow_module_level=True)

GEOMETRY = Geometry(slots=3, slot_bytes=4096, message_bytes_max=40_000)


class Both:
    """A link and the wire of the child, which tests use raw or through an endpoint."""

    def __init__(self, link: Link, child: Any, broken: list[str]) -> None:
        self.link = link
        self.child = child
        self.broken = broken

    def endpoint(self) -> Endpoint:
        return Endpoint(self.child, outgoing=self.child.outgoing, incoming=self.child.incoming)


@asynccontextmanager
async def both(transport: Transport, geometry: Geometry = GEOMETRY) -> AsyncIterator[Both]:
    wire = make_wire(transport, asyncio.get_running_loop(), geometry)  # type: ignore[arg-type]
    broken: list[str] = []
    link = Link(
        wire, name="child", outgoing=wire.outgoing, incoming=wire.incoming, on_broken=lambda: broken.append("broken")
    )
    child: Any
    if transport == "memfd":
        from turnwise.sharedmem.memfd import MemfdBlockingWire

        child = MemfdBlockingWire(os.dup(wire.handle))
    else:
        from turnwise.sharedmem.portable import PortableBlockingWire

        child = await asyncio.to_thread(PortableBlockingWire, os.dup(wire.handle))
    wire.child_started()
    try:
        yield Both(link, child, broken)
    finally:
        link.close()
        link.close()
        child.close()
        child.incoming.close()
        child.outgoing.close()
        wire.join()


def test_messages_arrive_in_order_and_whole(transport: Transport, run: Any) -> None:
    async def main() -> None:
        async with both(transport) as pair:
            end = pair.endpoint()
            for size in (0, 1, 4095, 4096, 4097, 12_288, 40_000):
                data = os.urandom(size)
                sending = asyncio.create_task(pair.link.send(size, data[: size // 3], data[size // 3 :]))
                received = await asyncio.to_thread(end.receive)
                await sending
                assert received is not None
                with received:
                    assert (received.kind, received.body.readonly) == (size, True)
                    assert bytes(received.body) == data
                    await asyncio.to_thread(end.send, 7, received.body)
                back = await pair.link.receive()
                assert back is not None
                with back:
                    assert (back.kind, back.body.readonly) == (7, True)
                    assert bytes(back.body) == data

    run(main())


def test_a_sender_without_a_slot_waits_and_keeps_its_place(transport: Transport, run: Any) -> None:
    async def main() -> None:
        async with both(transport) as pair:
            assert [pair.link.send_nowait(n, b"now") for n in range(4)] == [True, True, True, False]
            first = asyncio.create_task(pair.link.send(10, bytes(10_000)))
            second = asyncio.create_task(pair.link.send(11, b"small"))
            await asyncio.sleep(0)
            assert not pair.link.send_nowait(12, b"would overtake")
            end = pair.endpoint()
            kinds: list[int] = []
            for _ in range(5):
                message = await asyncio.to_thread(end.receive)
                assert message is not None
                kinds.append(message.kind)
                message.release()
            await asyncio.gather(first, second)
            assert kinds == [0, 1, 2, 10, 11]

    run(main())


def test_a_send_that_is_cancelled_is_void_and_the_next_one_whole(transport: Transport, run: Any) -> None:
    async def main() -> None:
        async with both(transport) as pair:
            assert pair.link.send_nowait(0, b"takes a slot")
            sending = asyncio.create_task(pair.link.send(1, bytes(20_000)))
            while pair.link.send_nowait(0, b""):  # until the task has begun
                await asyncio.sleep(0)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            waiting = asyncio.create_task(pair.link.send(2, b"next"))
            end = pair.endpoint()
            kinds: list[int] = []
            while kinds[-1:] != [2]:
                message = await asyncio.to_thread(end.receive)
                assert message is not None
                kinds.append(message.kind)
                message.release()
            await waiting
            assert 1 not in kinds

    run(main())


def test_what_is_too_long_is_refused_and_the_link_goes_on(transport: Transport, run: Any) -> None:
    async def main() -> None:
        async with both(transport) as pair:
            with pytest.raises(MessageTooLarge, match="40,001"):
                await pair.link.send(0, bytes(40_001))
            with pytest.raises(ValueError, match="kind"):
                await pair.link.send(-1, b"")
            await pair.link.send(5, b"fine")
            message = await asyncio.to_thread(pair.endpoint().receive)
            assert message is not None
            with message:
                assert bytes(message.body) == b"fine"

    run(main())


def test_everybody_who_waits_learns_of_the_end(transport: Transport, run: Any) -> None:
    async def main() -> None:
        async with both(transport) as pair:
            for _ in range(3):
                assert pair.link.send_nowait(0, b"fills the slots")
            senders = [asyncio.create_task(pair.link.send(1, b"waits")) for _ in range(2)]
            receiver = asyncio.create_task(pair.link.receive())
            await asyncio.sleep(0)
            pair.child.close()
            assert await receiver is None
            for sender in senders:
                with pytest.raises(PeerGone):
                    await sender
            assert await pair.link.receive() is None
            with pytest.raises(PeerGone):
                await pair.link.send(1, b"late")
            with pytest.raises(PeerGone):
                pair.link.send_nowait(1, b"late")
            assert pair.broken == []

    run(main())


def test_what_was_sent_before_the_end_is_received(transport: Transport, run: Any) -> None:
    async def main() -> None:
        async with both(transport) as pair:
            end = pair.endpoint()
            end.send(1, b"one")
            end.send(2, b"two")
            pair.child.close()
            kinds = []
            while (message := await pair.link.receive()) is not None:
                with message:
                    kinds.append((message.kind, bytes(message.body)))
            assert kinds == [(1, b"one"), (2, b"two")]

    run(main())


def test_closing_ends_who_waits_and_keeps_what_is_held(transport: Transport, run: Any) -> None:
    async def main() -> None:
        async with both(transport) as pair:
            end = pair.endpoint()
            end.send(1, b"held")
            end.send(2, b"never received")
            held = await pair.link.receive()
            assert held is not None
            receiver = asyncio.create_task(pair.link.receive())
            unread = await receiver
            assert unread is not None
            unread.release()
            receiver = asyncio.create_task(pair.link.receive())
            await asyncio.sleep(0)
            pair.link.close()
            assert await receiver is None
            assert bytes(held.body) == b"held"
            held.release()
            assert await asyncio.to_thread(end.receive) is None
            end.close()

    run(main())


def test_two_receivers_are_refused(transport: Transport, run: Any) -> None:
    async def main() -> None:
        async with both(transport) as pair:
            first = asyncio.create_task(pair.link.receive())
            await asyncio.sleep(0)
            with pytest.raises(RuntimeError, match="two tasks"):
                await pair.link.receive()
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            pair.endpoint().send(1, b"still works")
            message = await pair.link.receive()
            assert message is not None
            message.release()
            assert pair.link.receive_nowait() is None

    run(main())


HOSTILE = [
    descriptor.pack(descriptor.MESSAGE, slot=3),
    descriptor.pack(descriptor.MESSAGE, slot=255, length=1),
    descriptor.pack(descriptor.MESSAGE, length=2**32 - 1),
    descriptor.pack(descriptor.MESSAGE, length=4096, remaining=2**32 - 1),
    descriptor.pack(descriptor.RELEASE, released=0b1000),
    descriptor.pack(descriptor.RELEASE, released=2**32 - 1),
    descriptor.pack(descriptor.RELEASE),
    descriptor.pack(descriptor.DISCARD),
    descriptor.pack(descriptor.ARENA, slot=8, length=4096),
    descriptor.pack(99),
    b"short",
    bytes(15),
    bytes(17),
    bytes(4000),
]


@pytest.mark.parametrize("packet", HOSTILE, ids=lambda packet: packet[:16].hex())
def test_a_breach_breaks_the_link_for_all_who_use_it(transport: Transport, run: Any, packet: bytes) -> None:
    async def main() -> None:
        async with both(transport) as pair:
            for _ in range(3):
                assert pair.link.send_nowait(0, b"in flight")
            sender = asyncio.create_task(pair.link.send(1, bytes(12_289)))
            pair.child.send(packet)
            with pytest.raises(PeerBroken) as caught:
                await pair.link.receive()
            assert caught.value.where == "child"
            with pytest.raises(PeerBroken):
                await sender
            with pytest.raises(PeerBroken):
                await pair.link.send(1, b"more")
            assert pair.broken == ["broken"]

    run(main())


def test_a_slot_that_is_released_twice_breaks_the_link(transport: Transport, run: Any) -> None:
    async def main() -> None:
        async with both(transport) as pair:
            for _ in range(3):
                assert pair.link.send_nowait(0, b"in flight")
            for _ in range(2):
                pair.child.send(descriptor.pack(descriptor.RELEASE, released=0b10))
            with pytest.raises(PeerBroken, match="released memory"):
                await pair.link.receive()
            assert pair.broken == ["broken"]

    run(main())


def test_a_slot_that_is_sent_twice_breaks_the_link_and_spares_the_message(transport: Transport, run: Any) -> None:
    async def main() -> None:
        async with both(transport) as pair:
            pair.child.outgoing.view[:4] = b"good"
            pair.child.send(descriptor.pack(descriptor.MESSAGE, slot=0, kind=1, length=4))
            message = await pair.link.receive()
            assert message is not None
            pair.child.send(descriptor.pack(descriptor.MESSAGE, slot=0, kind=2, length=4))
            with pytest.raises(PeerBroken, match="not its own"):
                await pair.link.receive()
            assert bytes(message.body) == b"good"
            message.release()

    run(main())


def test_a_child_that_guesses_releases_and_never_reads_does_not_hang_the_loop(transport: Transport, run: Any) -> None:
    """It sends slots again without having been told that it may; our releases pile up until the wire is full."""

    async def main() -> None:
        async with both(transport) as pair:

            async def consume() -> None:
                while (message := await pair.link.receive()) is not None:
                    message.release()

            consumer = asyncio.create_task(consume())

            def flood() -> None:
                # 64 MiB of packets each way would be needed to fill any buffer: the link must break long before.
                for number in range(4_000_000):
                    pair.child.send(descriptor.pack(descriptor.MESSAGE, slot=number % 3, kind=1, length=1))

            flooding = asyncio.create_task(asyncio.to_thread(flood))
            with pytest.raises(PeerBroken):
                await consumer
            pair.child.close()
            with pytest.raises(OSError):  # noqa: PT011 - which one depends on the moment
                await flooding
            assert pair.broken == ["broken"]

    run(main())


@pytest.mark.skipif(sys.platform != "linux", reason="memfd exists on Linux only")
def test_memory_of_long_messages_is_given_back_in_both_directions(run: Any) -> None:
    geometry = Geometry(slots=3, slot_bytes=1 << 20, message_bytes_max=4 << 20, resident_bytes_max=1_500_000)

    async def main() -> None:
        async with both("memfd", geometry) as pair:
            end = pair.endpoint()
            before = pair.link._outgoing.arena
            for size in (3_000_000, 10, 3_000_000, 10):
                data = os.urandom(size)
                sending = asyncio.create_task(pair.link.send(1, data))
                message = await asyncio.to_thread(end.receive)
                assert message is not None
                with message:
                    assert message.body == data
                    await asyncio.to_thread(end.send, 2, message.body)
                await sending
                back = await pair.link.receive()
                assert back is not None
                with back:
                    assert back.body == data
            assert pair.link._outgoing.arena is not before
            assert not pair.link._outgoing.wasteful
            fd = pair.link._wire._incoming_fd  # type: ignore[attr-defined]
            assert os.fstat(fd).st_blocks * 512 <= 1_500_000

    run(main())
