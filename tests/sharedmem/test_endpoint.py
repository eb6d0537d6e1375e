"""The child's end, with a wire that the test writes."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import pytest

from turnwise.sharedmem import Endpoint, LinkMessage, PeerGone
from turnwise.sharedmem.parts import Flat


class Keeper:
    """Counts what was released."""

    def __init__(self) -> None:
        self.released = 0

    def release(self, slot: int) -> None:
        self.released += 1


class ScriptedWire:
    """A wire whose packets the test writes. Waiting where a real wire would wait for ever is a failure of the test."""

    def __init__(self) -> None:
        self.keeper = Keeper()
        self.packets: deque[LinkMessage | type[EOFError] | None] = deque()
        self.sent: list[tuple[int, bytes]] = []
        self.room = 100
        self.gone = False
        self.closed = 0

    def put(self, kind: int, parts: Sequence[Flat], length: int) -> bool:
        if self.gone:
            raise PeerGone("the orchestrator is gone")
        if not self.room:
            return False
        self.room -= 1
        data = b"".join(parts)
        assert len(data) == length
        self.sent.append((kind, data))
        return True

    def take(self) -> LinkMessage | None:
        assert self.packets, "the endpoint would wait for ever"
        found = self.packets.popleft()
        if found is EOFError:
            raise EOFError
        if found is None:
            self.room += 1
        assert not isinstance(found, type)
        return found

    def poll(self) -> bool:
        return bool(self.packets)

    def close(self) -> None:
        self.closed += 1

    def message(self, data: bytes, kind: int = 1) -> None:
        self.packets.append(LinkMessage(kind, memoryview(data), self.keeper, 0))

    def make_room(self) -> None:
        self.packets.append(None)

    def end(self) -> None:
        self.packets.append(EOFError)


@pytest.fixture
def wire() -> ScriptedWire:
    return ScriptedWire()


@pytest.fixture
def end(wire: ScriptedWire) -> Endpoint:
    return Endpoint(wire)


def received(end: Endpoint) -> bytes:
    message = end.receive()
    assert message is not None
    with message:
        return bytes(message.body)


def test_parts_are_sent_as_one_message(wire: ScriptedWire, end: Endpoint) -> None:
    end.send(5, b"hel", bytearray(b"lo"))
    assert wire.sent == [(5, b"hello")]


def test_sending_without_room_reads_until_there_is_some_and_loses_nothing(wire: ScriptedWire, end: Endpoint) -> None:
    wire.room = 0
    wire.message(b"first")
    wire.message(b"second")
    wire.make_room()
    end.send(1, b"c")
    assert wire.sent == [(1, b"c")]
    assert [received(end), received(end)] == [b"first", b"second"]


def test_poll_says_whether_receive_would_wait(wire: ScriptedWire, end: Endpoint) -> None:
    assert not end.poll()
    wire.make_room()
    assert not end.poll()  # a packet, and no message
    wire.message(b"one")
    assert end.poll()
    assert end.poll()
    assert received(end) == b"one"
    assert not end.poll()
    wire.end()
    assert end.poll()
    assert end.receive() is None
    assert end.poll()


def test_the_end_is_none_for_ever_and_sending_says_so(wire: ScriptedWire, end: Endpoint) -> None:
    wire.end()
    assert end.receive() is None
    assert end.receive() is None
    with pytest.raises(PeerGone):
        end.send(1, b"x")


def test_the_end_while_waiting_for_room_is_the_peer_gone(wire: ScriptedWire, end: Endpoint) -> None:
    wire.room = 0
    wire.end()
    with pytest.raises(PeerGone):
        end.send(1, b"c")


def test_the_wire_says_when_the_peer_is_gone(wire: ScriptedWire, end: Endpoint) -> None:
    wire.gone = True
    with pytest.raises(PeerGone):
        end.send(1, b"x")


@pytest.mark.parametrize("kind", [-1, 65_536])
def test_a_kind_out_of_range_sends_nothing(wire: ScriptedWire, end: Endpoint, kind: int) -> None:
    with pytest.raises(ValueError, match="kind"):
        end.send(kind, b"x")
    assert wire.sent == []


def test_closing_releases_what_nobody_read(wire: ScriptedWire, end: Endpoint) -> None:
    wire.message(b"unread")
    assert end.poll()
    with end:
        pass
    end.close()
    assert wire.keeper.released == 1
    assert end.receive() is None
