"""Real processes, killed a few times: `pytest -m kills tests/long` does it a hundred times each."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from random import Random

import pytest

from tests.guests import constant
from tests.long import damage, kills
from turnwise import Agent, World
from turnwise.system.clock import SystemClock

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")


@linux
@pytest.mark.parametrize("kind", ["worker", "stop"])
def test_workers(kind: str, tmp_path: Path) -> None:
    kills.blows("playing", kind, 2, tmp_path, 3, worlds=1)


@linux
def test_the_inference_host(tmp_path: Path) -> None:
    kills.blows("asking", "host", 1, tmp_path, 3, worlds=1)


@linux
@pytest.mark.parametrize("everything", [False, True])
def test_the_orchestrator(everything: bool, tmp_path: Path) -> None:
    kills.orchestrator("playing", everything, 1, tmp_path, 3)


@linux
def test_a_disk_that_is_full(tmp_path: Path) -> None:
    kills.full_disk(1, tmp_path, 3)


@linux
@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0 or shutil.which("mount") is None, reason="mounts a disk")
def test_a_disk_that_becomes_read_only(tmp_path: Path) -> None:
    kills.read_only(tmp_path)


def test_a_clock_that_is_set_back_and_forth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = kills.head_of("playing", 1, tmp_path)
    chance = Random(1)
    monkeypatch.setattr(SystemClock, "wall_us", lambda self: chance.randrange(2**51))
    with kills.playing(1).start(journal=tmp_path / "a.journal").result() as run:
        assert run.head == expected
        assert len(run.timings) > 10


@linux
def test_descriptors_are_flat_over_ten_thousand_turns(tmp_path: Path) -> None:
    agents = {"a": Agent(constant({"state": "", "wake_in": 1}), count=10, start=True)}
    with World(name="w", rounds_max=1_000, agents=agents).start(journal=tmp_path / "a.journal", workers=1) as live:
        counts = [len(list(Path("/proc/self/fd").iterdir())) for record in live if record.round % 100 == 0]
        assert live.progress().turns == 10_000
    assert max(counts[1:]) <= counts[0]


def test_some_bytes_and_every_page_of_a_journal(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    whole = damage.small(path)
    original = damage.shown(path)
    found = damage.flips(tmp_path / "b.journal", whole, original, range(3, len(whole), 499))
    assert found["noticed"] > 5
    cut = damage.truncations(tmp_path / "c.journal", whole, original)
    assert cut["harmless"] <= 1  # half of a last page that holds no row: whatever else is gone is noticed
