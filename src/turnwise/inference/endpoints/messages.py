"""Messages between the orchestrator and the process that asks endpoints: JSON texts, each with its length before it."""

from __future__ import annotations

import struct
from typing import Final

import msgspec

LENGTH: Final = struct.Struct("<I")
"""Bytes of the JSON text that follows."""
MESSAGE_BYTES_MAX: Final = 256 * 1024 * 1024
"""Bytes of a message; a longer one is none."""


class KeyedEndpoint(msgspec.Struct, frozen=True):
    """A model behind a URL, with its key."""

    name: str
    """Name of the model in the world."""
    url: str
    """Address of the API."""
    model: str
    """Name of the model there."""
    key: str | None
    """Key itself; None: none."""
    seconds_max: int
    """Time of a request."""
    reply_bytes_max: int
    """Bytes of an answer."""


class Begin(msgspec.Struct, frozen=True, tag=True):
    """The first message to the process."""

    endpoints: list[KeyedEndpoint]
    """Models that it may be asked for."""


class Ask(msgspec.Struct, frozen=True, tag=True):
    """A request of an agent."""

    id: int
    """Number of the request."""
    model: str
    """Name of the model in the world."""
    kind: str
    """Kind of the effect: `generate` or `embed`."""
    body: str
    """Request as the agent made it, canonical JSON."""
    seed: int
    """Number by which its chance is told from that of others."""


class Drop(msgspec.Struct, frozen=True, tag=True):
    """Requests that nobody waits for any more."""

    ids: list[int]
    """Numbers of the requests."""


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The process can be asked."""


class Told(msgspec.Struct, frozen=True, tag=True):
    """The answer to a request."""

    id: int
    """Number of the request."""
    body: str
    """Reply as the agent gets it, canonical JSON."""
    text_tokens: int = 0
    """Tokens that the endpoint says it has generated."""


ToProcess = Begin | Ask | Drop
FromProcess = Ready | Told

TO_PROCESS: Final = msgspec.json.Decoder(ToProcess)
FROM_PROCESS: Final = msgspec.json.Decoder(FromProcess)
_ENCODER: Final = msgspec.json.Encoder()


def framed(message: ToProcess | FromProcess) -> bytes:
    """Return a message as it is written."""
    text = _ENCODER.encode(message)
    return LENGTH.pack(len(text)) + text
