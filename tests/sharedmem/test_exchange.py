"""Both sides of a link without any process: random traffic, and hostile packets."""

from __future__ import annotations

import mmap
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnwise.sharedmem import PeerBroken, packet
from turnwise.sharedmem.exchange import Exchange, Notice
from turnwise.sharedmem.message import LinkMessage
from turnwise.sharedmem.parts import measure
from turnwise.sharedmem.transport import Geometry


class Side:
    """One side, whose packets wait in `sent` until the other side takes them."""

    def __init__(self, outgoing: bytearray, incoming: bytearray, geometry: Geometry) -> None:
        self.sent: deque[bytes] = deque()
        self.exchange = Exchange(memoryview(outgoing), memoryview(incoming).toreadonly(), geometry, self.tell)
        self.unsent: deque[tuple[int, bytes]] = deque()
        self.expected: deque[tuple[int, bytes]] = deque()
        self.held: list[tuple[LinkMessage, bytes]] = []

    def tell(self) -> None:
        data = self.exchange.release_packet()
        if data is not None:
            self.sent.append(data)

    def push(self) -> bool:
        """Send one message, if there is one to send and a slot for it."""
        if not self.unsent:
            return False
        kind, data = self.unsent[0]
        flat, length = measure([data[: len(data) // 2], bytearray(data[len(data) // 2 :])])
        sent = self.exchange.write(kind, flat, length)
        if sent is None:
            return False
        self.sent.append(sent)
        self.unsent.popleft()
        return True

    def pull(self, other: Side) -> bool:
        """Take one packet of the other side, and check the message that it brought."""
        if not other.sent:
            return False
        message = self.exchange.feed(other.sent.popleft())
        if message is not None:
            assert isinstance(message, LinkMessage)
            kind, data = other.expected.popleft()
            assert (message.kind, bytes(message.body)) == (kind, data)
            self.held.append((message, data))
        return True

    def post(self, kind: int, data: bytes) -> None:
        self.unsent.append((kind, data))
        self.expected.append((kind, data))

    def release(self, index: int) -> None:
        message, data = self.held.pop(index % len(self.held))
        assert bytes(message.body) == data, "somebody wrote to a message that was held"
        message.release()

    @property
    def idle(self) -> bool:
        """No slot is in flight."""
        return self.exchange.free == self.exchange._all


def feed(side: Side, data: bytes) -> LinkMessage:
    message = side.exchange.feed(data)
    assert isinstance(message, LinkMessage)
    return message


def pair(geometry: Geometry) -> tuple[Side, Side]:
    one, two = bytearray(geometry.arena_bytes), bytearray(geometry.arena_bytes)
    return Side(one, two, geometry), Side(two, one, geometry)


SLOT_BYTES = 16
geometries = st.builds(Geometry, slots=st.integers(1, 5), slot_bytes=st.just(SLOT_BYTES))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("post"), st.booleans(), st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=SLOT_BYTES))),
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
            side.post(*value)
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
        assert side.idle


@settings(max_examples=500, deadline=None)
@given(
    packets=st.lists(
        st.one_of(
            st.binary(max_size=20),
            st.binary(min_size=16, max_size=16),
            st.builds(
                packet.pack,
                st.sampled_from([1, 1, 1, 2, 3, 4, 5, 6, 7]),
                slot=st.integers(0, 4),
                kind=st.integers(0, 1),
                length=st.sampled_from([*range(32), 2**32, 2**64 - 1]),
                released=st.sampled_from([0, 0, 0, 1, 2, 2**31]),
            ),
        ),
        max_size=20,
    ),
    keep=st.booleans(),
)
def test_hostile_packets_give_messages_inside_a_slot_or_are_refused(packets: list[bytes], keep: bool) -> None:
    geometry = Geometry(slots=3, slot_bytes=10)
    memory = bytearray(range(geometry.arena_bytes))
    side = Side(bytearray(geometry.arena_bytes), memory, geometry)
    side.post(1, b"in flight")
    side.push()
    held: list[LinkMessage] = []
    for data in packets:
        try:
            found = side.exchange.feed(data)
        except PeerBroken:
            break
        if not isinstance(found, LinkMessage):
            continue
        assert len(found.body) <= geometry.slot_bytes
        assert bytes(found.body) in bytes(memory)
        held.append(found)
        if not keep:
            held.pop().release()
    assert len(held) <= geometry.slots
    for message in held:
        message.release()


def test_a_slot_cannot_be_sent_twice_before_it_was_given_back() -> None:
    side, _ = pair(Geometry(slots=4, slot_bytes=10))
    data = packet.pack(packet.MESSAGE, slot=1, length=3)
    message = feed(side, data)
    with pytest.raises(PeerBroken, match="not its own"):
        side.exchange.feed(data)
    message.release()
    with pytest.raises(PeerBroken, match="not its own"):
        side.exchange.feed(data)  # released here, but the sender has not been told
    side.tell()
    feed(side, data).release()


def test_a_message_in_a_file_of_its_own_takes_a_slot_as_well() -> None:
    side, other = pair(Geometry(slots=2, slot_bytes=10))
    slot = other.exchange.take()
    assert slot == 0
    notice = side.exchange.feed(packet.pack(packet.LONG, slot=slot, kind=5, length=4096))
    assert notice == Notice(packet.LONG, 0, 5, 4096)
    side.exchange.hold(notice.slot)
    mapping = mmap.mmap(-1, 4096)
    with side.exchange.accept(notice.slot, notice.kind, mapping) as message:
        assert (message.kind, len(message.body)) == (5, 4096)
        with pytest.raises(PeerBroken, match="not its own"):
            side.exchange.hold(0)
    assert mapping.closed
    assert side.exchange.due == 0, "told at once: half of two slots were held"
    other.exchange.feed(side.sent.popleft())
    assert other.idle


def test_a_slot_that_was_taken_in_vain_is_free_again() -> None:
    side, _ = pair(Geometry(slots=2, slot_bytes=10))
    slot = side.exchange.take()
    assert slot is not None
    side.exchange.take_back(slot)
    assert side.idle


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (packet.pack(packet.RELEASE, released=1), "released memory"),
        (packet.pack(packet.RELEASE, released=1 << 31), "released memory"),
        (packet.pack(packet.RELEASE), "means nothing"),
        (packet.pack(packet.MESSAGE, slot=4), "not its own"),
        (packet.pack(packet.MESSAGE, slot=255), "not its own"),
        (packet.pack(packet.MESSAGE, slot=3, length=11), "more than a slot"),
        (packet.pack(packet.MESSAGE, length=2**64 - 1), "more than a slot"),
        (packet.pack(packet.MESSAGE, slot=255, length=2**32 - 1), "more than a slot"),
        (packet.pack(packet.ARENAS), "means nothing"),
        (packet.pack(0), "means nothing"),
        (packet.pack(255), "means nothing"),
        (b"", "wrong size"),
        (b"short", "wrong size"),
        (bytes(17), "wrong size"),
    ],
)
def test_each_breach_is_named(data: bytes, message: str) -> None:
    side, _ = pair(Geometry(slots=4, slot_bytes=10))
    with pytest.raises(PeerBroken, match=message):
        side.exchange.feed(data)


@pytest.mark.parametrize("field", ["slot", "kind", "length"])
def test_a_release_says_nothing_else(field: str) -> None:
    side, _ = pair(Geometry(slots=4, slot_bytes=10))
    side.exchange.take()
    with pytest.raises(PeerBroken, match="means nothing"):
        side.exchange.feed(packet.pack(packet.RELEASE, released=1, **{field: 1}))


def test_slots_are_told_of_before_the_sender_must_wait() -> None:
    one, two = pair(Geometry(slots=4, slot_bytes=10))
    for _ in range(100):
        one.post(1, b"one way")
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
            assert side.push()
            assert len(side.sent) == 1
            other.pull(side)
            other.release(0)


def test_the_lowest_free_slot_is_taken() -> None:
    side, _ = pair(Geometry(slots=3, slot_bytes=10))
    exchange = side.exchange
    assert [exchange.take() for _ in range(4)] == [0, 1, 2, None]
    exchange.feed(packet.pack(packet.RELEASE, released=0b110))
    assert exchange.take() == 1


def test_an_arena_that_is_too_short_is_refused() -> None:
    with pytest.raises(ValueError, match="too short"):
        Exchange(memoryview(bytearray(9)), memoryview(bytes(10)), Geometry(1, 10), lambda: None)


def test_a_message_outlives_the_exchange() -> None:
    side, other = pair(Geometry(slots=2, slot_bytes=10))
    other.post(1, b"held")
    other.push()
    side.pull(other)
    side.exchange.close()
    side.release(0)
