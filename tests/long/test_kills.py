"""Kills at random moments and damaged journals: `pytest -m kills -s tests/long`; TURNWISE_KILLS times each (100)."""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.long import damage, kills

pytestmark = [pytest.mark.kills, pytest.mark.timeout(7200)]
COUNT = int(os.environ.get("TURNWISE_KILLS", "100"))


@pytest.mark.parametrize(("name", "kind"), [("playing", "worker"), ("playing", "stop"), ("asking", "host")])
def test_processes(name: str, kind: str, tmp_path: Path) -> None:
    before = kills.names_in_memory()
    kills.blows(name, kind, COUNT, tmp_path, 1)
    assert kills.names_in_memory() <= before
    print(f"\n{kind}: {COUNT}")


@pytest.mark.parametrize("everything", [False, True])
def test_orchestrator(everything: bool, tmp_path: Path) -> None:
    before = kills.names_in_memory()
    kills.orchestrator("playing", everything, COUNT, tmp_path, 1)
    assert kills.names_in_memory() <= before
    print(f"\n{'everything' if everything else 'orchestrator'}: {COUNT}")


def test_full_disk(tmp_path: Path) -> None:
    kills.full_disk(COUNT, tmp_path, 1)
    print(f"\nfull disk: {COUNT}")


def test_every_byte_and_every_page(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"
    whole = damage.small(path)
    original = damage.shown(path)
    found: Counter[str] = Counter()
    parts = os.cpu_count() or 1
    with ProcessPoolExecutor(parts) as pool:
        ranges = [range(part, len(whole), parts) for part in range(parts)]
        paths = [tmp_path / f"{part}.journal" for part in range(parts)]
        for more in pool.map(partial(_flips, whole, original), paths, ranges):
            found.update(more)
    print(f"\nbytes: {dict(found)}")
    assert sum(found.values()) == len(whole)
    print(f"pages: {dict(damage.truncations(tmp_path / 'cut.journal', whole, original))}")


def _flips(whole: bytes, original: damage.Shown, path: Path, places: range) -> Counter[str]:
    return damage.flips(path, whole, original, places)
