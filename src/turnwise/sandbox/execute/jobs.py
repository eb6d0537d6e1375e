"""Jobs for a sandbox and their results: one job is one execution of one turn.

A turn that asks for effects is executed several times, each time with one reply more; each execution is a job of its
own. Results say nothing about where and when a job ran.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from turnwise.core.turn import FailureClass

ExecutionStatus = Literal["completed", "needs", "failed"]

STDOUT_BYTES_MAX = 64 * 1024
"""What a turn prints beyond this many bytes is dropped, and a last line says so."""


@dataclass(frozen=True, slots=True)
class TurnJob:
    """One execution of a turn.

    `id` is unique among open jobs. `code` is the hash of a `Code`. `input` is the input envelope, UTF-8 JSON without
    the member `program`. `replies` are the replies to the calls of `effect` so far, in order. `fuel` is what is left
    for this execution; `memory_bytes` bounds linear memory, `output_bytes_max` the output and each effect request.
    """

    id: int
    code: str
    input: bytes
    replies: tuple[bytes, ...]
    fuel: int
    memory_bytes: int
    output_bytes_max: int


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
