"""Jobs for a sandbox and their results: one job is one execution of one turn.

A turn that asks for effects is executed several times, each time with one reply more; each execution is a job of its
own. Results say nothing about where and when a job ran.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from turnwise.core.turn import FailureClass

ExecutionStatus = Literal["completed", "needs", "failed"]

STDOUT_BYTES_MAX = 64 * 1024
"""Bytes that a turn may print; what is beyond is dropped, and a last line says so."""


class InputEnvelope(Protocol):
    """An input envelope that is not made yet."""

    @property
    def size_bytes(self) -> int:
        """About how large it will be."""

    def encode(self) -> bytes:
        """The envelope, UTF-8 JSON."""


@dataclass(frozen=True, slots=True)
class TurnJob:
    """One execution of a turn.

    `id` is unique among open jobs. `code` is the hash of a `Code`. `input` is the input envelope, UTF-8 JSON without
    the member `program`, or what makes it when the job is handed to a worker. `replies` are the replies to the calls
    of `effect` so far, in order. `fuel` is what is left for this execution; `memory_bytes` bounds linear memory,
    `output_bytes_max` the output and each effect request.
    """

    id: int
    code: str
    input: bytes | InputEnvelope
    replies: tuple[bytes, ...]
    fuel: int
    memory_bytes: int
    output_bytes_max: int

    @property
    def size_bytes(self) -> int:
        """About how much is handed over for it."""
        own = len(self.input) if isinstance(self.input, bytes) else self.input.size_bytes
        return own + sum(map(len, self.replies))

    def encoded_input(self) -> bytes:
        """The input envelope. Made anew for each call, and held by nobody."""
        return self.input if isinstance(self.input, bytes) else self.input.encode()


@dataclass(frozen=True, slots=True)
class TurnResult:
    """Result of one execution.

    `body` is the output envelope (`completed`), the effect request (`needs`), or a message for people (`failed`), all
    UTF-8. `failure` is set exactly when `status` is `failed`. `fuel` is what this execution used. `stdout` is what it
    printed, at most `STDOUT_BYTES_MAX` bytes.
    """

    id: int
    status: ExecutionStatus
    body: bytes
    failure: FailureClass | None
    fuel: int
    stdout: str
