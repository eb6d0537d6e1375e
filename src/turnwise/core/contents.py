"""Contents: bytes that agents put aside and hand on by a handle, so that messages and states stay small.

A handle is a text, and a capability. What is in it follows from the content and from all that has happened in the run
before it was put, which no agent knows: whoever has one was given it, in a message, a state or arguments, and may use
it. To know a content, or its hash, gives no handle; so nobody learns from handles what others have put.
"""

from __future__ import annotations

from binascii import a2b_base64
from dataclasses import dataclass
from hashlib import blake2b, sha256
from typing import Any, Final

from turnwise.core.canonical import canonical
from turnwise.core.json_text import decode
from turnwise.core.unguarded import unguarded

PUT: Final = "put"
GET: Final = "get"

HANDLE_BYTES: Final = 32
LEAST_BYTES: Final = 1024
"""Bytes as which a content counts at least, so that many small ones are bounded as well."""

_PERSON: Final = b"turnwise handle1"

Content = bytes | memoryview
"""Bytes that are put or got."""


@unguarded
@dataclass(frozen=True, slots=True)
class Kept:
    """A content that was put, and by which effect: there the journal has it."""

    sha256: str
    """SHA-256 (hex) of the content."""
    size: int
    """Bytes of the content."""
    round: int
    """Round in which it was put."""
    place: int
    """Place of the agent that put it."""
    index: int
    """Number of the effect in its turn."""


@unguarded
@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a content, which stands in a reply as a JSON object when the reply is handed over.

    In which form depends on how the turn asks: in base64, or beside the text.
    """

    kept: Kept
    start: int
    length: int


Reply = str | tuple[str | Piece, ...]
"""A reply to a call of `effect`: JSON text, or its parts, where contents come in between."""


class Malformed(ValueError):
    """A request that is not of the ABI's form; says why."""


class BesideText:
    """Bytes that came beside the text of a call of `effect`, of which its requests take their parts in order."""

    __slots__ = ("_content", "_taken")

    def __init__(self, content: Content) -> None:
        self._content = content
        self._taken = 0

    def take(self, size: int) -> Content:
        """Return the next `size` bytes; all of them as they came. Raises Malformed where there are fewer."""
        begin = self._taken
        if size > self.left:
            raise Malformed(f"'bytes' says {size} bytes, and {self.left} are beside the request")
        self._taken += size
        return self._content if size == len(self._content) else memoryview(self._content)[begin : begin + size]

    @property
    def left(self) -> int:
        """The number of bytes that no request has taken yet."""
        return len(self._content) - self._taken


def put_request(item: dict[str, Any], beside: BesideText) -> tuple[str, Content]:
    """Return a request to keep a content as it is recorded, with size and hash in place of the content, and this."""
    content: Content
    if item.keys() == {"effect", "bytes"}:
        size = item["bytes"]
        if type(size) is not int or size < 0:
            raise Malformed("'bytes' is the number of bytes beside the request, from 0")
        content = beside.take(size)
    else:
        data = item.get("data")
        if not isinstance(data, str) or item.keys() != {"effect", "data"}:
            raise Malformed("a request to put has 'data', text in base64, or 'bytes', and nothing else")
        try:
            content = a2b_base64(data, strict_mode=True)
        except ValueError:
            raise Malformed("'data' is not base64") from None
    facts = {"effect": PUT, "bytes": len(content), "sha256": sha256(content).hexdigest()}
    return canonical(facts), content


def handle_of(head: bytes, stream: bytes, content_hash: str, size: int) -> str:
    """The handle of a content that is put in the round after `head`, by the effect with this stream.

    64 hex digits, a hyphen and the size, so that whoever has it knows the size.
    """
    made = blake2b(stream + bytes.fromhex(content_hash), key=head, digest_size=HANDLE_BYTES, person=_PERSON)
    return f"{made.hexdigest()}-{size}"


def put_reply(handle: str) -> str:
    """The reply to a request to put."""
    return canonical({"ok": {"handle": handle}})


def put_of(request: str, reply: str) -> tuple[str, str, int] | None:
    """Handle, hash and size of a recorded put; None if it was refused, or its texts were taken out."""
    try:
        asked, answered = decode(request), decode(reply)
        ok = answered["ok"]
        return ok["handle"], asked["sha256"], asked["bytes"]
    except (ValueError, KeyError, TypeError):
        return None


def counted_bytes(size: int) -> int:
    """Bytes as which a content of this size counts."""
    return max(size, LEAST_BYTES)


def get_request(body: str) -> tuple[str, int, int | None]:
    """Handle, start and length of a request to get; raises Malformed. The length None: all that follows."""
    value = decode(body)
    handle, start, length = value.get("handle"), value.get("start", 0), value.get("length")
    if not isinstance(handle, str) or not value.keys() <= {"effect", "handle", "start", "length"}:
        raise Malformed("a request to get has 'handle', and perhaps 'start' and 'length'")
    if type(start) is not int or start < 0 or (length is not None and (type(length) is not int or length < 0)):
        raise Malformed("'start' and 'length' are whole numbers of bytes from 0")
    return handle, start, length


def get_reply(piece: Piece) -> str:
    """The reply to a request to get, as it is recorded: it names what was given, and does not hold it."""
    return canonical({"ok": {"bytes": piece.length, "sha256": piece.kept.sha256, "start": piece.start}})


def given_of(reply: str) -> str | None:
    """The hash of the content that a recorded reply to a request to get names; None if it names none."""
    try:
        found = decode(reply)["ok"]["sha256"]
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None


def handed_over(piece: Piece) -> tuple[str | Piece, ...]:
    """The reply to a request to get, as the agent gets it."""
    return '{"ok":', piece, "}"


def handles_in(request: str) -> list[str]:
    """The handles that a request to infer or to embed names as its inputs, sorted: the members `content`."""
    if '"content"' not in request:
        return []
    found: set[str] = set()
    pending: list[Any] = [decode(request)]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            if isinstance(value.get("content"), str):
                found.add(value["content"])
            pending += value.values()
        elif isinstance(value, list):
            pending += value
    return sorted(found)
