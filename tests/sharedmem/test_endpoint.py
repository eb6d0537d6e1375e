"""The child's end, with the orchestrator's side of the wire as raw packets in the same process."""

from __future__ import annotations

import os
from collections import deque

import pytest

from turnwise.sharedmem import Endpoint, MessageTooLarge, PeerBroken, PeerGone, descriptor
from turnwise.sharedmem.arena import Arena
from turnwise.sharedmem.transport import Geometry

GEOMETRY = Geometry(slots=2, slot_bytes=8, message_bytes_max=40)


class ScriptedWire:
    """A wire whose packets the test writes. Reading where a real wire would wait is a failure of the test."""

    def __init__(self) -> None:
        self.incoming = bytearray(GEOMETRY.arena_bytes)
        self.outgoing = bytearray(GEOMETRY.arena_bytes)
        self.packets: deque[bytes] = deque()
        self.sent: list[bytes] = []
        self.next_arena: Arena | None = None
        self.gone = False
        self.closed = 0

    def send(self, packet: bytes) -> None:
        if self.gone:
            raise BrokenPipeError
        self.sent.append(packet)

    def receive(self) -> bytes:
        assert self.packets, "the endpoint would wait for ever"
        return self.packets.popleft()

    def poll(self) -> bool:
        return bool(self.packets)

    def receive_arena(self, announcement: bytes) -> Arena:
        assert announcement[0] == descriptor.ARENA
        assert self.next_arena is not None
        return self.next_arena

    def close(self) -> None:
        self.closed += 1

    def message(self, slot: int, data: bytes, *, kind: int = 1, remaining: int = 0) -> None:
        at = slot * GEOMETRY.slot_bytes
        self.incoming[at : at + len(data)] = data
        self.packets.append(
            descriptor.pack(descriptor.MESSAGE, slot=slot, kind=kind, length=len(data), remaining=remaining)
        )

    def release(self, mask: int) -> None:
        self.packets.append(descriptor.pack(descriptor.RELEASE, released=mask))


@pytest.fixture
def wire() -> ScriptedWire:
    return ScriptedWire()


@pytest.fixture
def end(wire: ScriptedWire) -> Endpoint:
    return Endpoint(
        wire,
        outgoing=Arena(memoryview(wire.outgoing), GEOMETRY, lambda: None),
        incoming=Arena(memoryview(wire.incoming).toreadonly(), GEOMETRY, lambda: None),
    )


def test_a_reply_carries_the_release_of_its_request(wire: ScriptedWire, end: Endpoint) -> None:
    wire.message(1, b"hello", kind=5)
    message = end.receive()
    assert message is not None
    end.send(6, message.body)
    message.release()
    # With one of two slots held it is told at once.
    assert wire.sent == [
        descriptor.pack(descriptor.MESSAGE, slot=0, kind=6, length=5),
        descriptor.pack(descriptor.RELEASE, released=0b10),
    ]
    assert wire.outgoing[:5] == b"hello"


def test_sending_without_a_slot_reads_until_there_is_one_and_loses_nothing(wire: ScriptedWire, end: Endpoint) -> None:
    end.send(1, b"a")
    end.send(1, b"b")
    wire.message(0, b"first")
    wire.message(1, b"second")
    wire.release(0b10)
    end.send(1, b"c")
    assert wire.sent[-1] == descriptor.pack(descriptor.MESSAGE, slot=1, kind=1, length=1)
    for word in (b"first", b"second"):
        message = end.receive()
        assert message is not None
        with message:
            assert bytes(message.body) == word


def test_poll_says_whether_receive_would_wait(wire: ScriptedWire, end: Endpoint) -> None:
    end.send(1, b"a")
    assert not end.poll()
    wire.release(0b1)
    assert not end.poll()  # a packet, and no message
    wire.message(0, b"part", remaining=4)
    assert not end.poll()
    wire.message(1, b"more")
    assert end.poll()
    assert end.poll()
    message = end.receive()
    assert message is not None
    with message:
        assert bytes(message.body) == b"partmore"
    assert not end.poll()
    wire.packets.append(b"")
    assert end.poll()
    assert end.receive() is None
    assert end.poll()


@pytest.mark.parametrize("packet", [b"", descriptor.pack(descriptor.BYE)])
def test_the_end_is_none_for_ever_and_sending_says_so(wire: ScriptedWire, end: Endpoint, packet: bytes) -> None:
    wire.packets.append(packet)
    assert end.receive() is None
    assert end.receive() is None
    with pytest.raises(PeerGone):
        end.send(1, b"x")


def test_a_broken_pipe_while_sending_is_the_peer_gone(wire: ScriptedWire, end: Endpoint) -> None:
    wire.gone = True
    with pytest.raises(PeerGone) as caught:
        end.send(1, b"x")
    assert isinstance(caught.value.__cause__, OSError)


def test_a_broken_pipe_while_releasing_is_seen_at_the_next_call(wire: ScriptedWire, end: Endpoint) -> None:
    wire.message(0, b"x")
    message = end.receive()
    assert message is not None
    wire.gone = True
    message.release()
    assert end.receive() is None


def test_the_end_while_waiting_for_a_slot_is_the_peer_gone(wire: ScriptedWire, end: Endpoint) -> None:
    end.send(1, b"a")
    end.send(1, b"b")
    wire.packets.append(b"")
    with pytest.raises(PeerGone):
        end.send(1, b"c")


def test_a_new_arena_takes_the_place_of_the_old_one(wire: ScriptedWire, end: Endpoint) -> None:
    memory = bytearray(b"fresh" + bytes(11))
    closed: list[str] = []
    wire.next_arena = Arena(memoryview(memory).toreadonly(), GEOMETRY, lambda: closed.append("new"))
    wire.packets.append(descriptor.pack(descriptor.ARENA))
    wire.packets.append(descriptor.pack(descriptor.MESSAGE, slot=0, kind=1, length=5))
    message = end.receive()
    assert message is not None
    with message:
        assert bytes(message.body) == b"fresh"
    end.close()
    assert closed == ["new"]


def test_a_message_that_is_held_stays_as_it_is_when_the_arena_is_replaced(wire: ScriptedWire, end: Endpoint) -> None:
    wire.message(0, b"held")
    held = end.receive()
    assert held is not None
    wire.next_arena = Arena(memoryview(bytearray(b"........fresh...")), GEOMETRY, lambda: None)
    wire.packets.append(descriptor.pack(descriptor.ARENA))
    wire.packets.append(descriptor.pack(descriptor.MESSAGE, slot=1, kind=1, length=5, released=0))
    wire.packets.append(descriptor.pack(descriptor.MESSAGE, slot=0, kind=1, length=5))
    message = end.receive()
    assert message is not None
    assert (bytes(held.body), bytes(message.body)) == (b"held", b"fresh")
    message.release()
    with pytest.raises(PeerBroken, match="not its own"):
        end.receive()  # slot 0 is still held
    held.release()


def test_what_is_too_long_or_of_no_kind_sends_nothing(wire: ScriptedWire, end: Endpoint) -> None:
    with pytest.raises(MessageTooLarge):
        end.send(1, os.urandom(41))
    with pytest.raises(ValueError, match="kind"):
        end.send(65_536, b"x")
    assert wire.sent == []


def test_closing_twice_closes_once_what_must_be(wire: ScriptedWire, end: Endpoint) -> None:
    wire.message(0, b"unread")
    assert end.poll()
    with end:
        pass
    end.close()
    assert end.receive() is None
