"""Jobs for a sandbox and their results: one job is one execution of one turn.

A turn that asks for effects is executed several times, each time with one reply more; each execution is a job of its
own. Results say nothing about where and when a job ran.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from turnwise.core.contents import Content
from turnwise.core.turn import FailureClass
from turnwise.core.unguarded import unguarded
from turnwise.sandbox.execute.replies import HandedReply, reply_bytes

ExecutionStatus = Literal["completed", "needs", "failed"]

STDOUT_BYTES_MAX = 64 * 1024
"""Bytes that a turn may print; what is beyond is dropped, and a last line says so."""


class InputEnvelope(Protocol):
    """An input envelope that is not made yet."""

    @property
    def size_bytes(self) -> int:
        """About how large it will be."""

    def encode(self) -> bytes:
        """Return the envelope, UTF-8 JSON."""


@unguarded
@dataclass(frozen=True, slots=True)
class TurnJob:
    """One execution of a turn."""

    id: int
    """Number that is unique among open jobs."""
    code: str
    """Hash of a `Code`."""
    input: bytes | InputEnvelope
    """Input envelope, UTF-8 JSON without `program`; or what makes it when a worker gets the job."""
    replies: tuple[HandedReply, ...]
    """Replies to the calls of `effect` so far, in order."""
    fuel: int
    """Fuel that is left for this execution."""
    memory_bytes: int
    """Bound of linear memory."""
    output_bytes_max: int
    """Bound of the output, and of each effect request with what comes beside it."""

    @property
    def size_bytes(self) -> int:
        """About how much is handed over for it."""
        own = len(self.input) if isinstance(self.input, bytes) else self.input.size_bytes
        return own + sum(map(reply_bytes, self.replies)) if self.replies else own

    def encoded_input(self) -> bytes:
        """Return the input envelope. Made anew for each call, and held by nobody."""
        return self.input if isinstance(self.input, bytes) else self.input.encode()


@unguarded
@dataclass(frozen=True, slots=True)
class TurnResult:
    """Result of one execution."""

    id: int
    """Number of its job."""
    status: ExecutionStatus
    """Way in which it ended."""
    body: bytes
    """Output envelope (`completed`), effect request (`needs`), or a message for people (`failed`), all UTF-8."""
    failure: FailureClass | None
    """Class of failure; None unless `status` is `failed`."""
    fuel: int
    """Fuel that this execution used."""
    stdout: str
    """Text that it printed, at most `STDOUT_BYTES_MAX` bytes."""
    content: Content = b""
    """Bytes beside the effect request."""
