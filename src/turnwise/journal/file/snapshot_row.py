"""Rows of `snapshots`: the numbers of a snapshot as JSON, compressed by the rule of `blobs`."""

from __future__ import annotations

import json
import zlib
from typing import Any, Final

from turnwise.core.snapshot import Snapshot
from turnwise.journal.file.format import BLOB_BYTES_MAX, COMPRESS_LEVEL
from turnwise.journal.file.number_runs import numbers_of, runs

_encode: Final = json.JSONEncoder(separators=(",", ":")).encode

MEMBERS: Final = ("message_next", "turns", "left", "wake_at", "stopped", "unread")
"""Members of the JSON object."""

LATER_MEMBERS: Final = ("question_next", "waiting")
"""Members behind those, where people were ever asked."""


def snapshot_row(snapshot: Snapshot) -> list[object]:
    """Columns of a snapshot's row: round, size, data."""
    values = (snapshot.message_seq_next, snapshot.turns, snapshot.left, snapshot.wake_at, snapshot.stopped)
    unread = ",".join([f"[{place},{runs(seqs)}]" for place, seqs in snapshot.unread])
    members = [f'"{name}":{_encode(value)}' for name, value in zip(MEMBERS, values, strict=False)]
    asked = ""
    if snapshot.question_next > 1:
        later = zip(LATER_MEMBERS, (snapshot.question_next, snapshot.waiting), strict=True)
        asked = "".join([f',"{name}":{_encode(value)}' for name, value in later])
    content = f'{{{",".join(members)},"{MEMBERS[-1]}":[{unread}]{asked}}}'.encode()
    packed = zlib.compress(content, COMPRESS_LEVEL)
    return [snapshot.round, len(content), packed if len(packed) < len(content) else content]


def snapshot_of_row(round_: int, size: object, data: object, *, agents: int, messages: int) -> Snapshot:
    """The snapshot behind a row; `agents` and `messages` bound its lists. Raises ValueError if there is none."""
    if type(size) is not int or type(data) is not bytes or not len(data) <= size <= BLOB_BYTES_MAX:
        raise ValueError("its columns are not those of a snapshot")
    try:
        content = data if len(data) == size else zlib.decompressobj().decompress(data, size)
    except zlib.error as error:
        raise ValueError(f"it cannot be unpacked: {error}") from error
    if len(content) != size:
        raise ValueError("it has another size than it says")
    try:
        values: Any = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON: {error}") from error
    if not isinstance(values, dict) or tuple(values) not in (MEMBERS, (*MEMBERS, *LATER_MEMBERS)):
        raise ValueError(f"its members are not {', '.join(MEMBERS)}")
    message_next, turns, left, wake_at, stopped, unread, *asked = values.values()
    question_next, waiting = asked or (1, [])
    if type(question_next) is not int or question_next < 1 or not isinstance(waiting, list):
        raise ValueError("its questions are not what they can be")
    if type(message_next) is not int or not 0 <= message_next <= messages or not isinstance(unread, list):
        raise ValueError("its mail is not what it can be")
    return Snapshot(
        round_,
        message_next,
        _numbers(turns, agents),
        _numbers(left, agents),
        _numbers(wake_at, agents),
        _numbers(stopped, agents),
        tuple([_mail(entry, message_next) for entry in unread]),
        question_next,
        tuple([_waiting(entry, agents, round_) for entry in waiting]),
    )


def _waiting(entry: object, agents: int, round_: int) -> tuple[int, int]:
    if not isinstance(entry, list) or len(entry) != 2 or any(type(number) is not int for number in entry):
        raise ValueError("its turns that wait are not pairs of a place and a round")
    place, began = entry
    if not 0 <= place < agents or not 1 <= began <= round_:
        raise ValueError("it names a turn that cannot wait")
    return place, began


def _numbers(column: object, count_max: int) -> tuple[int, ...]:
    if not isinstance(column, list) or len(column) > count_max:
        raise ValueError("a list of it is none, or too long")
    if any(type(number) is not int or number < 0 for number in column):
        raise ValueError("a list of it is not all numbers from 0")
    return tuple(column)


def _mail(entry: object, messages: int) -> tuple[int, tuple[int, ...]]:
    if not isinstance(entry, list) or len(entry) != 2 or type(entry[0]) is not int:
        raise ValueError("its unread messages are not pairs of a place and runs")
    if entry[0] < 0:
        raise ValueError("it names an agent that is not there")
    return entry[0], numbers_of(entry[1], count_max=messages)
