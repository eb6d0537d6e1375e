"""A journal whose bytes are changed or missing: noticed, or harmless."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from turnwise import World
from turnwise.core.records import EndRecord, RoundRecord
from turnwise.errors import TurnwiseError
from turnwise.journal import Journal


@dataclass(frozen=True)
class Shown:
    """What a journal shows of a run."""

    plan: str
    rounds: tuple[RoundRecord, ...]
    end: EndRecord | None


def shown(path: Path) -> Shown:
    """Read all of a journal, and check it and its chains; times and snapshots, which no chain covers, are only read."""
    with Journal.open(path) as journal:
        journal.check()
        list(journal.timings.between())
        list(journal.snapshots.all())
        journal.chains.check_links()
        return Shown(journal.header.plan, tuple(journal.chains.rounds()), journal.rounds.end_record)


def small(path: Path) -> bytes:
    """A small journal of a real run, and its bytes."""
    from tests.guests import constant
    from turnwise import Agent, Grants, InitialMessage

    source = constant({"state": "s", "send": [{"to": "b", "body": "hello"}], "wake_in": 1})
    agents = {"a": Agent(source, start=True, grants=Grants(send=["b"])), "b": Agent(source)}
    world = World(name="w", rounds_max=3, agents=agents, messages=[InitialMessage("a", "go")])
    world.start(journal=path, workers=1).result().close()
    return path.read_bytes()


def damaged(path: Path, original: Shown, content: bytes, found: Counter[str], what: str) -> None:
    """Count what a changed journal comes to. Raises AssertionError for one that shows something else as right."""
    path.write_bytes(content)
    try:
        now = shown(path)
    except TurnwiseError:
        found["noticed"] += 1
    else:
        assert now == original, f"{what}: shown as right, and is not"
        found["harmless"] += 1
    for ending in ("-journal", "-wal", "-shm", "-lock"):
        assert not path.with_name(path.name + ending).exists(), f"{what}: {ending} is left"


def flips(path: Path, whole: bytes, original: Shown, places: Iterable[int]) -> Counter[str]:
    """Turn every bit of one byte after the other."""
    found: Counter[str] = Counter()
    for place in places:
        content = whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]
        damaged(path, original, content, found, f"byte {place}")
    return found


def truncations(path: Path, whole: bytes, original: Shown, page_bytes: int = 4096) -> Counter[str]:
    """Cut the file off at every page, and in the middle of every page."""
    found: Counter[str] = Counter()
    for length in range(0, len(whole), page_bytes // 2):
        damaged(path, original, whole[:length], found, f"cut off at {length}")
    return found
