"""Memory that is there lies on huge pages afterwards, holds what it held, and is no more than before."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from turnwise.system.huge_pages import HUGE_PAGE_BYTES, MAP_BYTES_MIN, collapse_memory, huge_pages_refusal

SCRIPT = """
import json, mmap, sys
from turnwise.system.huge_pages import HUGE_PAGE_BYTES, collapse_memory

def held(name):
    with open("/proc/self/smaps_rollup") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

def anonymous(size):
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)  # whatever the system does by itself
    return memory

size = 40 * HUGE_PAGE_BYTES
full, untouched, holed = anonymous(size), anonymous(size), anonymous(size)
pattern = bytes(range(256)) * 16
for start in range(0, size, 4096):
    full[start : start + 4096] = pattern
    if start % HUGE_PAGE_BYTES:
        holed[start : start + 4096] = pattern
before = held("Rss:"), held("AnonHugePages:")
told = collapse_memory()
after = held("Rss:"), held("AnonHugePages:")
same = all(full[start : start + 4096] == pattern for start in range(0, size, 4096))
print(json.dumps({"told": told, "same": same, "rss": after[0] - before[0], "huge": after[1] - before[1]}))
"""


def played() -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.skipif(huge_pages_refusal() is not None, reason=f"no huge pages: {huge_pages_refusal()}")
def test_only_what_is_there_is_put_onto_huge_pages() -> None:
    found = played()
    assert found["same"]
    assert 38 * HUGE_PAGE_BYTES <= found["huge"] <= 40 * HUGE_PAGE_BYTES
    assert found["told"] >= found["huge"]
    assert found["rss"] < HUGE_PAGE_BYTES, "memory that nobody wrote to is not taken"


def test_small_memory_stays_as_it_is() -> None:
    assert collapse_memory(1 << 40) == 0
    assert MAP_BYTES_MIN % HUGE_PAGE_BYTES == 0


def test_another_system_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert collapse_memory() == 0
    assert huge_pages_refusal() == "darwin gives none on request"
