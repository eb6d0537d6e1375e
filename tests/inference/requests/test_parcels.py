from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwise.inference.requests import parcels as parcels_module
from turnwise.inference.requests.parcels import ALIGNMENT, APART_COUNT_MAX, Parcel, pack, unpack
from turnwise.inference.requests.tensors import Data, Tensor

TENSORS = st.builds(lambda data: Tensor("uint8", (len(data),), data), st.binary(max_size=200))


@given(
    st.lists(st.builds(Parcel, st.integers(0, 99), st.text(max_size=5), st.dictionaries(st.text(max_size=5), TENSORS)))
)
def test_messages_are_exact_and_aligned(parcels: list[Parcel]) -> None:
    message = b"".join(pack(parcels))
    found = list(unpack(message))
    assert found == parcels
    base = np.frombuffer(message, np.uint8).ctypes.data
    for parcel in found:
        for tensor in parcel.tensors.values():
            if len(tensor.data):
                assert (np.frombuffer(tensor.data, np.uint8).ctypes.data - base) % ALIGNMENT == 0


LARGE, OTHER = bytes(range(256)) * 4, bytes(2048)


@pytest.fixture
def small_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parcels_module, "APART_BYTES_MIN", 1000)


@pytest.mark.usefixtures("small_apart")
def test_large_tensors_are_messages_of_their_own_and_not_copied() -> None:
    tensors = {name: Tensor("uint8", (len(data),), data) for name, data in (("a", LARGE), ("b", b"bb"), ("c", OTHER))}
    more = {name: Tensor("uint8", (len(LARGE),), LARGE) for name in ("d", "e")}
    parcels = [Parcel(1, "m", tensors), Parcel(2, "m", more)]
    apart: list[Data] = []
    message = b"".join(pack(parcels, apart))
    assert len(apart) == APART_COUNT_MAX
    assert apart[0] is LARGE
    assert apart[1] is OTHER
    assert len(message) < 2 * len(LARGE) + 1000  # the others are in it
    found = list(unpack(message, apart))
    assert found == parcels
    assert memoryview(found[0].tensors["a"].data).obj is LARGE
    assert list(unpack(b"".join(pack(parcels)))) == parcels


@pytest.mark.usefixtures("small_apart")
@pytest.mark.parametrize("came", [(), (LARGE,), (OTHER, LARGE), (LARGE, OTHER[:-1]), (LARGE + b"x", OTHER)])
def test_large_tensors_that_did_not_come_or_are_others_are_refused(came: tuple[bytes, ...]) -> None:
    tensors = {name: Tensor("uint8", (len(data),), data) for name, data in (("a", LARGE), ("c", OTHER))}
    message = b"".join(pack([Parcel(1, "m", tensors)], []))
    with pytest.raises(msgspec.MsgspecError):
        list(unpack(message, came))


@pytest.mark.usefixtures("small_apart")
def test_a_large_tensor_is_not_looked_for_behind_the_last() -> None:
    message = b"".join(pack([Parcel(1, "m", {"a": Tensor("uint8", (len(LARGE),), LARGE)})], []))
    for number in (b"-1", b"1", b"99"):
        with pytest.raises(msgspec.MsgspecError):
            list(unpack(message.replace(b'"apart":0', b'"apart":' + number), [LARGE]))


def test_a_message_that_lies_is_refused() -> None:
    parts = pack([Parcel(1, "m", {"x": Tensor("uint8", (100,), bytes(100))})])
    whole = b"".join(parts)
    for damaged in (
        whole[:-40],
        whole[:20],
        whole.replace(b'"offset":0', b'"offset":9'),
        whole.replace(b"[100]", b"[101]"),
    ):
        with pytest.raises(msgspec.MsgspecError):
            list(unpack(damaged))
