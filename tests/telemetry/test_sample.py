"""Samples come out of a ring whole, or as far as they are there, also while they are written."""

from __future__ import annotations

import subprocess
import sys

import pytest

from turnwise.telemetry.ring import SLOTS, RingWriter
from turnwise.telemetry.sample import (
    PLACES_MAX,
    TAIL_CHARS_MAX,
    TEXTS_MAX,
    WORKERS_MAX,
    GeneratedText,
    State,
    read_sample,
    slots_of,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory that can be sealed exists on Linux only")
LARGE = 2**62


def state(sample: int, texts: int, **more: object) -> State:
    values = dict.fromkeys(State.__struct_fields__, 0) | dict.fromkeys(("executing", "asking", "workers"), ())
    return State(**{**values, "phase": "playing", "sample": sample, "texts": texts, **more})  # type: ignore[arg-type]


def texts(sample: int, count: int) -> list[GeneratedText]:
    return [GeneratedText(sample, number, 1, "word " * 10, False) for number in range(count)]


def test_the_newest_sample_is_read() -> None:
    ring = RingWriter()
    try:
        assert read_sample(ring._memory) is None
        for sample in (1, 2):
            ring.write(slots_of(state(sample, 3), texts(sample, 3)))
        found = read_sample(ring._memory)
        assert found is not None
        assert found.state.sample == 2
        assert list(found.texts) == texts(2, 3)
        assert found.lost == 0
    finally:
        ring.close()


def test_the_largest_sample_fits() -> None:
    large = state(
        LARGE,
        TEXTS_MAX,
        executing=(LARGE,) * PLACES_MAX,
        asking=(LARGE,) * PLACES_MAX,
        workers=(LARGE,) * WORKERS_MAX,
        **{
            name: LARGE
            for name in State.__struct_fields__
            if name not in ("sample", "texts", "phase", "executing", "asking", "workers")
        },
    )
    many = [GeneratedText(LARGE, LARGE, LARGE, "\U0001f600" * TAIL_CHARS_MAX, True)] * TEXTS_MAX
    ring = RingWriter()
    try:
        ring.write(slots_of(large, many))
        found = read_sample(ring._memory)
        assert found is not None
        assert (found.state, list(found.texts)) == (large, many)
    finally:
        ring.close()


def test_a_sample_whose_texts_are_overwritten_says_how_many_are_lost() -> None:
    ring = RingWriter()
    try:
        ring.write(slots_of(state(1, 4), texts(1, 4)))
        ring.write([(2, b"no text")] * (SLOTS - 3))
        found = read_sample(ring._memory)
        assert found is not None
        assert (len(found.texts), found.lost) == (2, 2)
        ring.write([(2, b"no text")] * 3)
        assert read_sample(ring._memory) is None
    finally:
        ring.close()


READER = """
import sys
from turnwise.telemetry.address import Telemetry
seen = set()
with Telemetry(sys.argv[1]) as telemetry:
    print("here", flush=True)
    while len(seen) < 200:
        found = telemetry.read()
        if found is None:
            continue
        assert {text.place for text in found.texts} <= {found.state.sample}, found
        assert [text.effect for text in found.texts] == sorted(text.effect for text in found.texts)
        assert len(found.texts) + found.lost == found.state.texts
        seen.add(found.state.sample)
print("equal")
"""


def test_what_another_process_reads_while_it_is_written_is_of_one_sample() -> None:
    ring = RingWriter()
    reader = subprocess.Popen([sys.executable, "-c", READER, ring.address], stdout=subprocess.PIPE, text=True)
    try:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "here\n"
        sample = 0
        while reader.poll() is None:
            sample += 1
            ring.write(slots_of(state(sample, sample % 60), texts(sample, sample % 60)))
        assert reader.returncode == 0
        assert reader.stdout.read() == "equal\n"
    finally:
        reader.kill()
        reader.wait()
        ring.close()
