"""Contents: bytes that are put aside once and handed on by a handle; the effects `put` and `get`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from turnwise_guest.errors import EffectError
from turnwise_guest.jsontext import canonical
from turnwise_guest.tensor import DType

EffectBytes = Callable[[str, bytes], bytes]
"""Asks for an effect: takes the text of a request and the bytes that belong to it, returns a line of text and bytes."""


class Handle(str):
    """The handle of a content: a text that can be kept in the state, sent, and used by whoever was given it.

    Read back from a state or a message's body it is an ordinary text, which does as well.
    """

    __slots__ = ()

    @property
    def bytes(self) -> int:
        """The size of the content, in bytes."""
        return int(self.rpartition("-")[2])

    def __repr__(self) -> str:
        return f"<Handle of {self.bytes:,} bytes>"


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A content as an input of `infer`: its bytes are the elements, little-endian, the last dimension first.

    A content that is a `Tensor`'s own data is `tensor.data.tobytes()`.
    """

    content: str
    dtype: DType
    shape: Sequence[int]


def put_content(effect: EffectBytes, content: bytes | bytearray | memoryview) -> Handle:
    """Put a content. Raises `EffectError` where it is refused."""
    if not isinstance(content, bytes | bytearray | memoryview):
        raise TypeError(f"content is bytes, not {content!r}: encode a text")
    content = content if type(content) is bytes else bytes(content)
    return Handle(_ok(json.loads(effect(f'{{"bytes":{len(content)},"effect":"put"}}', content)))["handle"])


def get_content(effect: EffectBytes, handle: str, start: int, length: int | None) -> bytes:
    """Get a part of a content. Raises `EffectError` where it is refused."""
    reply = effect(canonical(_get_request(handle, start, length), "the request"), b"")
    line = reply.index(b"\n") + 1
    _ok(json.loads(reply[:line]))
    return reply[line:]


def _get_request(handle: str, start: int, length: int | None) -> dict[str, Any]:
    """Return a request to get a part of a content, checked, as a JSON object."""
    if not isinstance(handle, str):
        raise TypeError(f"handle is what put returned, not {handle!r}")
    for name, value in (("start", start), ("length", length)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise TypeError(f"{name} is a whole number of bytes, not {value!r}")
        if value is not None and value < 0:
            raise ValueError(f"{name} is at least 0, not {value}")
    request: dict[str, Any] = {"effect": "get", "handle": handle}
    if start:
        request["start"] = start
    if length is not None:
        request["length"] = length
    return request


def _ok(reply: Any) -> Any:
    if "ok" in reply:
        return reply["ok"]
    raise EffectError(reply["error"]["kind"], reply["error"]["message"])
