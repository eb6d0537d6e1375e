"""Tensors in the arena: used where they lie, held as long as they are needed, and copied where slots would run out."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.inference import graphs
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.requests import parcels as parcels_module
from turnwise.inference.requests.generate_request import GenerateReply
from turnwise.inference.requests.parcels import Parcel, pack
from turnwise.inference.requests.tensors import Data, Tensor
from turnwise.inference.server import tensor_server
from turnwise.inference.server.tensor_server import HELD_COUNT_MAX, TensorServer
from turnwise.inference.tensor_models.load import load_graph
from turnwise.sharedmem.exchange import Exchange
from turnwise.sharedmem.message import LinkMessage
from turnwise.sharedmem.parts import Flat, measure
from turnwise.sharedmem.transport import MIB, Geometry

GEOMETRY = Geometry(slots=4, slot_bytes=MIB)
LARGE, SMALL = 40_000, 5


class Wire:
    """Both halves of one direction, and a server behind it whose bindings are watched."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        there, back = (mmap.mmap(-1, GEOMETRY.arena_bytes) for _ in range(2))
        self.reader = memoryview(there).toreadonly()
        self.sender = Exchange(memoryview(there), memoryview(back), GEOMETRY, lambda: None)
        self.receiver = Exchange(memoryview(back), self.reader, GEOMETRY, lambda: None)
        loaded = load_graph(ModelSpec("divide", graphs.write_graph(path / "m.onnx", graphs.divide_graph()), "cpu"))
        self.server = TensorServer({"divide": loaded})
        self.bound: list[int] = []
        bind = loaded.model.bind

        def watched(arrays: Any) -> list[Any]:
            values = bind(arrays)
            self.bound += [value.data_ptr() for value in values]
            return values

        monkeypatch.setattr(loaded.model, "bind", watched)

    def message(self, *parcels: Parcel) -> LinkMessage:
        return self.taken(*measure(pack(parcels)))

    def taken(self, flat: list[Flat], length: int) -> LinkMessage:
        """Send a message of these parts, and receive it."""
        data = self.sender.write(4, flat, length)
        assert data is not None
        message = self.receiver.feed(data)
        assert isinstance(message, LinkMessage)
        return message

    def released(self) -> int:
        """How many slots have been given back since this was asked last."""
        before = self.sender.free.bit_count()
        data = self.receiver.release_packet()
        if data is not None:
            self.sender.feed(data)
        return self.sender.free.bit_count() - before

    def in_arena(self, address: int) -> bool:
        start = int(np.asarray(self.reader).ctypes.data)
        return start <= address < start + GEOMETRY.arena_bytes


@pytest.fixture
def wire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wire:
    return Wire(tmp_path, monkeypatch)


def parcel(number: int, count: int, *, wrong: bool = False) -> Parcel:
    a, b = np.arange(count, dtype=np.float32), np.full(count - wrong, 2, np.float32)
    tensors = {name: Tensor("float32", array.shape, array.tobytes()) for name, array in (("a", a), ("b", b))}
    return Parcel(number, "divide", tensors)


def test_a_tensor_is_bound_at_its_address_in_the_arena(wire: Wire) -> None:
    one = parcel(1, LARGE)
    wire.server.infer(wire.message(one))
    assert wire.released() == 0, "the message is held until the graph has run"
    (answer,) = wire.server.step()
    whole = bytes(wire.reader)
    start = int(np.asarray(wire.reader).ctypes.data)
    assert wire.bound == [start + whole.index(bytes(tensor.data)) for tensor in one.tensors.values()]
    assert isinstance(answer, Parcel)
    assert bytes(answer.tensors["y"].data) == (np.arange(LARGE, dtype=np.float32) / 2).tobytes()
    assert wire.released() == 1


def test_small_ones_are_copied_and_their_slot_is_free_at_once(wire: Wire) -> None:
    wire.server.infer(wire.message(parcel(1, SMALL), parcel(2, SMALL)))
    assert wire.released() == 1
    assert [answer.id for _ in range(2) for answer in wire.server.step()] == [1, 2]
    assert not any(map(wire.in_arena, wire.bound))


def test_no_more_messages_are_held_than_leaves_slots(wire: Wire) -> None:
    for number in range(HELD_COUNT_MAX + 1):
        wire.server.infer(wire.message(parcel(number, LARGE)))
    assert wire.released() == 1
    while wire.server.pending:
        wire.server.step()
    assert wire.released() == HELD_COUNT_MAX
    assert [wire.in_arena(address) for address in wire.bound] == [True] * 2 * HELD_COUNT_MAX + [False] * 2


def test_a_message_is_held_for_the_last_of_its_requests(wire: Wire) -> None:
    wire.server.infer(wire.message(parcel(1, LARGE), parcel(2, LARGE, wrong=True), parcel(3, LARGE)))
    first = wire.server.step()
    assert [answer.id for answer in first] == [2, 1]
    assert isinstance(first[0], GenerateReply)
    assert wire.released() == 0
    wire.server.cancel(3)
    assert wire.released() == 1
    assert not wire.server.pending


def test_a_message_of_refused_requests_is_given_back(wire: Wire) -> None:
    wire.server.infer(wire.message(parcel(1, LARGE, wrong=True)))
    assert wire.released() == 1
    assert [answer.id for answer in wire.server.step()] == [1]


def test_a_large_tensor_that_came_before_its_message_is_bound_where_it_lies_and_held_with_it(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parcels_module, "APART_BYTES_MIN", 4 * LARGE)
    apart: list[Data] = []
    flat, length = measure(pack([parcel(1, LARGE)], apart))
    assert len(apart) == 2
    for data in apart:
        wire.server.keep(wire.taken(*measure([data])))
    wire.server.infer(wire.taken(flat, length))
    assert wire.released() == 0
    _answers(wire)
    assert len(wire.bound) >= 2
    assert all(wire.in_arena(address) for address in wire.bound[:2])
    assert wire.released() == 3


def test_large_tensors_are_copied_where_too_many_messages_are_held(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parcels_module, "APART_BYTES_MIN", 4 * LARGE)
    monkeypatch.setattr(tensor_server, "HELD_COUNT_MAX", 0)
    apart: list[Data] = []
    flat, length = measure(pack([parcel(1, LARGE)], apart))
    for data in apart:
        wire.server.keep(wire.taken(*measure([data])))
    wire.server.infer(wire.taken(flat, length))
    assert wire.released() == 3
    _answers(wire)
    assert not any(wire.in_arena(address) for address in wire.bound)


def _answers(wire: Wire) -> list[Any]:
    found: list[Any] = []
    while not found:
        found += wire.server.step()
    return found
