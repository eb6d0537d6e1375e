from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwise.inference.requests.parcels import ALIGNMENT, Parcel, pack, unpack
from turnwise.inference.requests.tensors import Tensor

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
