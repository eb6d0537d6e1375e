"""Both sides of a link without any process: random traffic, and hostile packets."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnwise.sharedmem import MessageTooLarge, PeerBroken, descriptor
from turnwise.sharedmem.arena import Arena
from turnwise.sharedmem.exchange import Exchange
from turnwise.sharedmem.message import Message
from turnwise.sharedmem.outgoing import Rest, measure
from turnwise.sharedmem.transport import Geometry


def nothing() -> None:
    """Unmap memory that is not mapped."""


class Side:
    """One side, whose packets wait in `sent` until the other side takes them."""

    def __init__(self, outgoing: bytearray, incoming: bytearray, geometry: Geometry) -> None:
        self.sent: deque[bytes] = deque()
        self.exchange = Exchange(
            Arena(memoryview(outgoing), geometry, nothing),
            Arena(memoryview(incoming).toreadonly(), geometry, nothing),
            self.tell,
        )
        self.unsent: deque[tuple[int, Rest, int]] = deque()
        self.expected: deque[tuple[int, bytes]] = deque()
        self.held: list[tuple[Message, bytes]] = []

    def tell(self) -> None:
        packet = self.exchange.release_packet()
        if packet is not None:
            self.sent.append(packet)

    def post(self, kind: int, data: bytes) -> None:
        flat, length = measure([data[: len(data) // 2], bytearray(data[len(data) // 2 :])])
        self.exchange.outgoing.check(kind, length)
        self.unsent.append((kind, Rest(flat, length), length))

    def push(self) -> bool:
        """Send one packet, if there is something to send and a slot for it."""
        if not self.unsent or not self.exchange.outgoing.free:
            return False
        kind, rest, length = self.unsent[0]
        slot = self.exchange.outgoing.place(rest.length) if rest.length == length else None
        if slot is not None:
            data = bytearray(rest.length)
            rest.copy_into(memoryview(data))
            self.sent.append(self.exchange.message_packet(slot, kind, [data], len(data)))
        else:
            self.sent.append(self.exchange.chunk_packet(kind, rest))
        if rest.length == 0:
            self.unsent.popleft()
        return True

    def pull(self, other: Side) -> bool:
        """Take one packet of the other side, and check the message that it completed."""
        if not other.sent:
            return False
        message = self.exchange.feed(other.sent.popleft())
        if message is not None:
            kind, data = other.expected.popleft()
            assert (message.kind, bytes(message.body)) == (kind, data)
            self.held.append((message, data))
        return True

    def release(self, index: int) -> None:
        message, data = self.held.pop(index % len(self.held))
        assert bytes(message.body) == data, "somebody wrote to a message that was held"
        message.release()


def pair(geometry: Geometry) -> tuple[Side, Side]:
    one, two = bytearray(geometry.arena_bytes), bytearray(geometry.arena_bytes)
    return Side(one, two, geometry), Side(two, one, geometry)


geometries = st.builds(
    Geometry,
    slots=st.integers(1, 5),
    slot_bytes=st.integers(1, 16),
    message_bytes_max=st.just(200),
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("post"), st.booleans(), st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=60))),
        st.tuples(st.sampled_from(["push", "pull"]), st.booleans(), st.none()),
        st.tuples(st.just("release"), st.booleans(), st.integers(0, 100)),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(geometry=geometries, script=steps)
def test_random_traffic_arrives_whole_and_in_order_and_never_gets_stuck(
    geometry: Geometry, script: list[tuple[str, bool, object]]
) -> None:
    sides = pair(geometry)
    for action, first, value in script:
        side, other = (sides[0], sides[1]) if first else (sides[1], sides[0])
        if action == "post":
            assert isinstance(value, tuple)
            kind, data = value
            side.post(kind, data)
            side.expected.append((kind, data))
        elif action == "push":
            side.push()
        elif action == "pull":
            side.pull(other)
        elif side.held:
            assert isinstance(value, int)
            side.release(value)
    # Whatever happened: as soon as nobody holds anything, everything can be delivered.
    progress = True
    while progress:
        progress = False
        for side, other in (sides, sides[::-1]):
            while side.held:
                side.release(0)
                progress = True
            progress |= side.push() | side.pull(other)
    for side in sides:
        assert not side.unsent
        assert not side.expected
        side.tell()
    for side, other in (sides, sides[::-1]):
        side.pull(other)
        assert side.exchange.outgoing.idle


@settings(max_examples=500, deadline=None)
@given(
    packets=st.lists(
        st.one_of(
            st.binary(max_size=20),
            st.binary(min_size=16, max_size=16),
            st.builds(
                descriptor.pack,
                st.sampled_from([1, 1, 1, 2, 3, 4, 5, 6, 7]),
                slot=st.integers(0, 4),
                kind=st.integers(0, 1),
                length=st.integers(0, 32),
                remaining=st.sampled_from([0, 0, 0, 5, 10, 45, 2**32 - 1]),
                released=st.sampled_from([0, 0, 0, 1, 2, 2**31]),
            ),
        ),
        max_size=20,
    ),
    keep=st.booleans(),
)
def test_hostile_packets_give_messages_inside_the_arena_or_are_refused(packets: list[bytes], keep: bool) -> None:
    geometry = Geometry(slots=3, slot_bytes=10, message_bytes_max=50)
    memory = bytearray(range(geometry.arena_bytes))
    side = Side(bytearray(geometry.arena_bytes), memory, geometry)
    side.post(1, b"in flight")
    side.push()
    held: list[Message] = []
    for packet in packets:
        try:
            message = side.exchange.feed(packet)
        except PeerBroken:
            break
        if message is None:
            continue
        assert len(message.body) <= geometry.message_bytes_max
        if message._memory is None:  # not put together from chunks
            assert not message.body or bytes(message.body) in bytes(memory)
        held.append(message)
        if not keep:
            held.pop().release()
    assert len(held) <= geometry.slots
    for message in held:
        message.release()


def test_a_slot_cannot_be_sent_twice_before_it_was_given_back() -> None:
    side, _ = pair(Geometry(slots=4, slot_bytes=10))
    packet = descriptor.pack(descriptor.MESSAGE, slot=1, length=3)
    message = side.exchange.feed(packet)
    assert message is not None
    with pytest.raises(PeerBroken, match="not its own"):
        side.exchange.feed(packet)
    message.release()
    with pytest.raises(PeerBroken, match="not its own"):
        side.exchange.feed(packet)  # released here, but the sender has not been told
    side.tell()
    again = side.exchange.feed(packet)
    assert again is not None
    again.release()


@pytest.mark.parametrize(
    ("packet", "message"),
    [
        (descriptor.pack(descriptor.RELEASE, released=1), "released memory"),
        (descriptor.pack(descriptor.RELEASE, released=1 << 31), "released memory"),
        (descriptor.pack(descriptor.RELEASE), "means nothing"),
        (descriptor.pack(descriptor.MESSAGE, slot=4), "not its own"),
        (descriptor.pack(descriptor.MESSAGE, slot=255), "not its own"),
        (descriptor.pack(descriptor.MESSAGE, slot=3, length=11), "not its own"),
        (descriptor.pack(descriptor.MESSAGE, length=41), "not its own"),
        (descriptor.pack(descriptor.MESSAGE, length=2**32 - 1), "not its own"),
        (descriptor.pack(descriptor.MESSAGE, slot=255, length=2**32 - 1), "not its own"),
        (descriptor.pack(descriptor.MESSAGE, length=36), "too much"),
        (descriptor.pack(descriptor.MESSAGE, length=10, remaining=41), "announced too much"),
        (descriptor.pack(descriptor.MESSAGE, length=10, remaining=2**32 - 1), "announced too much"),
        (descriptor.pack(descriptor.MESSAGE, length=0, remaining=10), "do not fit"),
        (descriptor.pack(descriptor.DISCARD), "had not begun"),
        (descriptor.pack(descriptor.DISCARD, slot=1), "unused fields"),
        (descriptor.pack(descriptor.ARENA), "means nothing"),
        (descriptor.pack(0), "means nothing"),
        (descriptor.pack(255), "means nothing"),
        (b"", "wrong size"),
        (b"short", "wrong size"),
        (bytes(17), "wrong size"),
    ],
)
def test_each_breach_is_named(packet: bytes, message: str) -> None:
    side, _ = pair(Geometry(slots=4, slot_bytes=10, message_bytes_max=35))
    with pytest.raises(PeerBroken, match=message):
        side.exchange.feed(packet)


def test_attached_is_said_once() -> None:
    side, _ = pair(Geometry(slots=4, slot_bytes=10))
    packet = descriptor.pack(descriptor.ATTACHED)
    side.exchange.feed(packet)
    assert side.exchange.attached
    with pytest.raises(PeerBroken, match="means nothing"):
        side.exchange.feed(packet)


@pytest.mark.parametrize(
    "second",
    [
        descriptor.pack(descriptor.MESSAGE, slot=1, kind=8, length=10, remaining=5),
        descriptor.pack(descriptor.MESSAGE, slot=1, kind=7, length=10, remaining=6),
        descriptor.pack(descriptor.MESSAGE, slot=1, kind=7, length=10, remaining=0),
        descriptor.pack(descriptor.MESSAGE, slot=1, kind=7, length=0, remaining=15),
    ],
)
def test_chunks_that_do_not_continue_the_message_are_refused(second: bytes) -> None:
    side, _ = pair(Geometry(slots=4, slot_bytes=10, message_bytes_max=50))
    side.exchange.feed(descriptor.pack(descriptor.MESSAGE, slot=0, kind=7, length=10, remaining=15))
    with pytest.raises(PeerBroken, match="do not fit"):
        side.exchange.feed(second)


def test_a_discarded_message_leaves_room_for_the_next() -> None:
    one, two = pair(Geometry(slots=4, slot_bytes=10, message_bytes_max=50))
    one.post(1, bytes(45))
    one.push()
    one.unsent.clear()
    one.sent.append(one.exchange.discard_packet())
    one.post(2, b"whole")
    one.expected.append((2, b"whole"))
    while one.push() or two.pull(one):
        pass
    assert not one.expected
    two.release(0)


def test_slots_are_told_of_before_the_sender_must_wait() -> None:
    one, two = pair(Geometry(slots=4, slot_bytes=10))
    for _ in range(100):
        one.post(1, b"one way")
        one.expected.append((1, b"one way"))
        assert one.push()
        two.pull(one)
        two.release(0)
        one.pull(two)
    assert len(one.sent) == 0


def test_a_request_and_its_reply_are_one_packet_each() -> None:
    one, two = pair(Geometry(slots=8, slot_bytes=10))
    for _ in range(20):
        for side, other in ((one, two), (two, one)):
            side.post(1, b"x")
            side.expected.append((1, b"x"))
            assert side.push()
            assert len(side.sent) == 1
            other.pull(side)
            other.release(0)


def test_what_is_too_long_or_of_no_kind_is_refused_before_anything_is_sent() -> None:
    side, _ = pair(Geometry(slots=2, slot_bytes=10, message_bytes_max=50))
    side.exchange.outgoing.check(0, 50)
    side.exchange.outgoing.check(0xFFFF, 0)
    with pytest.raises(MessageTooLarge) as caught:
        side.exchange.outgoing.check(0, 51)
    assert (caught.value.expected, caught.value.actual) == (50, 51)
    assert "message_bytes_max" in str(caught.value)
    for kind in (-1, 0x10000):
        with pytest.raises(ValueError, match="kind"):
            side.exchange.outgoing.check(kind, 0)
