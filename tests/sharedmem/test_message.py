from __future__ import annotations

import mmap
from pickle import PickleBuffer

import pytest

from turnwise.sharedmem.message import LinkMessage


class Keeper:
    def __init__(self) -> None:
        self.released: list[int] = []

    def release(self, slot: int) -> None:
        self.released.append(slot)


def message(keeper: Keeper) -> LinkMessage:
    return LinkMessage(7, memoryview(b"body"), keeper, 2)


def test_the_body_cannot_be_used_after_release() -> None:
    keeper = Keeper()
    with message(keeper) as one:
        body = one.body
        assert bytes(body) == b"body"
        assert keeper.released == []
    assert keeper.released == [2]
    for use in (lambda: bytes(body), lambda: body[0], lambda: len(one.body)):
        with pytest.raises(ValueError, match="released"):
            use()


def test_releasing_twice_gives_the_slot_back_once() -> None:
    keeper = Keeper()
    one = message(keeper)
    one.release()
    one.release()
    assert keeper.released == [2]


def test_what_borrows_the_body_must_be_gone_first_and_release_can_be_tried_again() -> None:
    keeper = Keeper()
    one = message(keeper)
    borrowed = PickleBuffer(one.body)
    with pytest.raises(BufferError):
        one.release()
    assert keeper.released == []
    borrowed.release()
    one.release()
    assert keeper.released == [2]


def test_what_is_kept_is_a_copy_unless_it_came_in_a_file_of_its_own() -> None:
    keeper = Keeper()
    with message(keeper) as one:
        kept = one.keep(0)
    assert kept == b"body"
    assert isinstance(kept, bytes)
    mapping = mmap.mmap(-1, 4096)
    mapping[:2] = b"ok"
    with LinkMessage(7, memoryview(mapping), keeper, 3, mapping) as one:
        small = one.keep(4097)
    assert isinstance(small, bytes)
    assert mapping.closed
    mapping = mmap.mmap(-1, 4096)
    mapping[:2] = b"ok"
    with LinkMessage(7, memoryview(mapping), keeper, 4, mapping) as one:
        large = one.keep(4096)
    assert isinstance(large, memoryview)
    assert large.obj is mapping
    assert bytes(large[:3]) == b"ok\0"
    assert keeper.released == [2, 3, 4]


def test_a_message_that_is_dropped_unreleased_is_reported() -> None:
    dropped = [message(Keeper())]
    with pytest.warns(ResourceWarning, match="never released"):
        dropped.clear()


def test_its_representation_shows_no_content() -> None:
    with message(Keeper()) as one:
        assert repr(one) == "<LinkMessage kind=7 4 bytes>"
    assert repr(one) == "<LinkMessage kind=7 released>"


def test_memory_of_its_own_goes_with_it_unless_somebody_kept_a_slice() -> None:
    keeper = Keeper()
    mappings = [mmap.mmap(-1, 4096) for _ in range(2)]
    released, kept = (LinkMessage(1, memoryview(mapping), keeper, 0, mapping) for mapping in mappings)
    released.release()
    assert mappings[0].closed
    piece = kept.body[:5]
    kept.release()
    assert not mappings[1].closed
    assert bytes(piece) == bytes(5)
    assert keeper.released == [0, 0]
