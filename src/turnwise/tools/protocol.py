"""The messages between the orchestrator and the process of a tool server: JSON behind four bytes of length.

Both ends check the form of what they read, and its size before they read it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

LENGTH: Final = struct.Struct("<I")
"""Number of bytes of a message, which stands before it."""

MESSAGE_BYTES_MAX: Final = 64 * 1024 * 1024
"""Bytes of a message to a server, and the most that one from it can have."""

LIST_BYTES_MAX: Final = 4 * 1024 * 1024
"""Bytes of a list of tools."""

TEXT_CHARS_MAX: Final = 2_000
"""Characters of what a server, or a check, says of an error."""


class StartServer(msgspec.Struct, tag=True, frozen=True):
    """Be this server. The first message."""

    kind: str
    """Module of `turnwise.tools.kinds`."""
    settings: dict[str, Any]
    """Settings of the kind, secrets resolved."""
    folder: str
    """Absolute path of the world's folder."""
    result_bytes_max: int
    """Bytes of a result as JSON."""


class CallTool(msgspec.Struct, tag=True, frozen=True):
    """Call a tool."""

    id: int
    """Number of the call at this server."""
    tool: str
    """Name of the tool at its server."""
    args: dict[str, Any]
    """Arguments."""
    answers: dict[str, Any] | None = None
    """Answers to what this call has asked by their keys, where it goes on after them."""
    state: str = ""
    """State that came with what was asked."""


class CancelCall(msgspec.Struct, tag=True, frozen=True):
    """A call that is waited for no longer. It is still answered."""

    id: int
    """Number of the call."""


ToServer = StartServer | CallTool | CancelCall


class ListedTool(msgspec.Struct, frozen=True):
    """One tool of a list: `turnwise.tools.spec.ToolSpec`."""

    name: str
    """Name at its server."""
    description: str = ""
    """Words of the server."""
    input_schema: dict[str, Any] | None = None
    """Schema of the arguments."""
    output_schema: dict[str, Any] | None = None
    """Schema of the structured result."""
    pure: bool = False
    """True if a result follows from code and arguments alone."""


class ToolList(msgspec.Struct, tag=True, frozen=True):
    """The server's tools: once it is ready, and each time that the list has changed."""

    tools: list[ListedTool]
    """Tools in order of name."""
    left_out: list[str] = []
    """Lines that say which tools of the server cannot be used, and why."""


class ServerFailed(msgspec.Struct, tag=True, frozen=True):
    """The server cannot be made ready, or cannot list its tools."""

    message: str
    """Words for people."""


class ToolAnswered(msgspec.Struct, tag=True, frozen=True):
    """A tool has answered."""

    id: int
    """Number of the call."""
    text: str
    """Result as text."""
    data: msgspec.Raw = msgspec.Raw(b"null")
    """Structured content, JSON; null if there is none."""


class CallRefused(msgspec.Struct, tag=True, frozen=True):
    """A call that has failed, or was not made; `kind` is one of decision 93's table."""

    id: int
    """Number of the call."""
    kind: str
    """Kind of the error."""
    message: str
    """Words of the tool, or about it."""


class ServerQuestion(msgspec.Struct, frozen=True):
    """A question of the server to people."""

    key: str
    """Name by which the server knows the answer."""
    text: str
    """Words of it."""
    schema: Any = None
    """Schema of an answer."""


class ServerQuestions(msgspec.Struct, tag=True, frozen=True):
    """A call that goes on when people have answered."""

    id: int
    """Number of the call."""
    questions: list[ServerQuestion]
    """Questions, in order."""
    state: str = ""
    """Text of the server that it gets back."""


class ServerSample(msgspec.Struct, frozen=True):
    """A request of the server to a model."""

    key: str
    """Name by which the server knows the answer."""
    request: dict[str, Any]
    """Members of the request."""
    hints: list[str] = []
    """Parts of names of models that it would like."""


class ServerSamples(msgspec.Struct, tag=True, frozen=True):
    """A call that goes on when models have answered."""

    id: int
    """Number of the call."""
    samples: list[ServerSample]
    """Requests, in order."""
    state: str = ""
    """Text of the server that it gets back."""


CallAnswer = ToolAnswered | CallRefused | ServerQuestions | ServerSamples
FromServer = ToolList | ServerFailed | CallAnswer

_encoder = msgspec.json.Encoder()
_to_server = msgspec.json.Decoder(ToServer)
_from_server = msgspec.json.Decoder(FromServer)


class NoMessageError(Exception):
    """Bytes that are no message; says why."""


class Frames:
    """Bytes as they come, cut into the bodies of messages. No more than one message and what came with it is held."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes in; yield the messages that are whole. Raises `NoMessageError` for one that is too large."""
        held = self._held
        held += data
        begin = 0
        try:
            while len(held) >= begin + LENGTH.size:
                (size,) = LENGTH.unpack_from(held, begin)
                if size > self._bytes_max:
                    raise NoMessageError(f"a message of {size:,} bytes, and at most {self._bytes_max:,} are taken")
                end = begin + LENGTH.size + size
                if len(held) < end:
                    break
                body = bytes(held[begin + LENGTH.size : end])
                begin = end
                yield body
        finally:
            del held[:begin]


def frame(message: ToServer | FromServer) -> bytes:
    """Return a message as it is sent."""
    body = _encoder.encode(message)
    return LENGTH.pack(len(body)) + body


def _decoded(decoder: Callable[[bytes], Any], body: bytes) -> Any:
    try:
        return decoder(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NoMessageError(str(error)[:TEXT_CHARS_MAX]) from None


def to_server(body: bytes) -> ToServer:
    """Read a message to a server. Raises `NoMessageError`."""
    message: ToServer = _decoded(_to_server.decode, body)
    return message


def from_server(body: bytes) -> FromServer:
    """Read a message from a server. Raises `NoMessageError`."""
    message: FromServer = _decoded(_from_server.decode, body)
    return message
