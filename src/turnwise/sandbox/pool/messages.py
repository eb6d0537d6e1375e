"""Messages between orchestrator and worker: MessagePack, in tuples, since there are thousands a second."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from turnwise.core.contents import Content
from turnwise.sandbox.execute.executor import CarrierName
from turnwise.sandbox.execute.jobs import ExecutionStatus
from turnwise.sandbox.execute.replies import HandedReply

if TYPE_CHECKING:
    from typing_extensions import Buffer

# Kinds of messages: first those to a worker, then those from it.
LOAD, RUN = 1, 2
READY, RESULTS, LACKS = 3, 4, 5
RUN_WITH_CONTENTS = 6
"""As RUN. In the place of each content in a reply is its length; the contents come first, then the jobs, then the
length of these, in 8 bytes."""
CONTENT = 7
"""Bytes beside the effect request of the last of the results that the next message holds, which follows."""

CONTENT_FILE_BYTES_MIN: Final = 8 * 1024 * 1024
"""Size from which on a content stays in the file in which it came; it takes a descriptor for as long."""

LoadItem = tuple[str, CarrierName, str | None]
"""Path of compiled code, its carrier, the program of a Python agent. The place in the list is the code's index."""

JobItem = tuple[int, int, bytes, tuple[HandedReply, ...], int, int, int]
"""Number of the job, index of its code, input, replies, fuel, `memory_bytes`, `output_bytes_max`."""

ResultItem = tuple[int, ExecutionStatus, bytes, str | None, int, str, int]
"""Number of the job, status, body, class of failure, fuel used, stdout; last, microseconds that it took (telemetry)."""

ReadyItem = tuple[str, bool, str]
"""A measure of the confinement: name, whether it holds, detail."""

LacksItem = str
"""Resource that the machine refused to the worker, which ends then."""

encode = msgspec.msgpack.Encoder().encode
decode_load = msgspec.msgpack.Decoder(list[LoadItem]).decode
decode_results = msgspec.msgpack.Decoder(list[ResultItem]).decode
decode_lacks = msgspec.msgpack.Decoder(LacksItem).decode
decode_ready = msgspec.msgpack.Decoder(list[ReadyItem]).decode

_PlainJob = tuple[int, int, bytes, tuple[bytes, ...], int, int, int]
_decode_plain_jobs = msgspec.msgpack.Decoder(list[_PlainJob]).decode
_WrittenReply = bytes | list[bytes | int]
_WrittenJob = tuple[int, int, bytes, tuple[_WrittenReply, ...], int, int, int]
_decode_jobs = msgspec.msgpack.Decoder(list[_WrittenJob]).decode
_LENGTH: Final = struct.Struct("<Q")


def jobs_message(items: Sequence[JobItem]) -> tuple[int, list[Buffer]]:
    """Return kind and parts of the message that hands out jobs. Contents are parts by themselves, not copied."""
    if not any(isinstance(reply, tuple) for item in items if item[3] for reply in item[3]):
        return RUN, [encode(items)]
    contents: list[Buffer] = []
    jobs = encode([(*item[:3], [_written(reply, contents) for reply in item[3]], *item[4:]) for item in items])
    return RUN_WITH_CONTENTS, [*contents, jobs, _LENGTH.pack(len(jobs))]


def _written(reply: HandedReply, contents: list[Buffer]) -> bytes | list[bytes | int]:
    if isinstance(reply, bytes):
        return reply
    contents += reply[1::2]
    return [len(part) if index % 2 else bytes(part) for index, part in enumerate(reply)]


def read_jobs(kind: int, body: memoryview) -> list[JobItem]:
    """Return the jobs of a message. The contents of replies are parts of `body`, not copied."""
    if kind == RUN:
        return [*_decode_plain_jobs(body)]
    (size,) = _LENGTH.unpack(body[-_LENGTH.size :])
    end = len(body) - _LENGTH.size
    at = 0

    def read(reply: _WrittenReply) -> HandedReply:
        nonlocal at
        if isinstance(reply, bytes):
            return reply
        parts: list[Content] = []
        for part in reply:
            if isinstance(part, int):
                parts.append(body[at : at + part])
                at += part
            else:
                parts.append(part)
        return tuple(parts)

    return [(*job[:3], tuple(map(read, job[3])), *job[4:]) for job in _decode_jobs(body[end - size : end])]
