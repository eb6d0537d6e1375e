"""What going on from a journal costs: resuming a long run, and forking it far from its beginning."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

from proof.figure import Figure, medians
from proof.played import Journals, chatters, no_ops
from proof.size import Size

import turnwise
from turnwise import Live

RESUMED_AGENTS = 1_000
FORKED_AGENTS = 10


def resume(journals: Journals, size: Size) -> list[Figure]:
    """Seconds from the call until the next round of a long run is on disk, with the start of its worker."""
    agents = min(RESUMED_AGENTS, size.resumed)
    rounds = size.resumed // agents
    path = journals.left_open(no_ops(agents), rounds)
    last = range(rounds + 1, rounds + 1 + size.times)
    seconds = [_until_a_round(lambda: turnwise.resume(path, workers=1), round_) for round_ in last]
    with turnwise.open(path) as run:
        if len(run.turns) != (rounds + size.times) * agents:
            raise SystemExit(f"{path} has {len(run.turns)} turns")
        run.check()
    name = f"resume of a run of {size.resumed:,} turns, to its next round"
    return [Figure(name, tuple(seconds), "s", 1.0, False, {"resume": statistics.median(seconds)})]


def fork(journals: Journals, size: Size) -> list[Figure]:
    """Milliseconds that a fork far from the beginning takes more than a new run of the same world.

    Both until their first round is on disk, so that both have the start of a worker in them.
    """
    world = chatters(FORKED_AGENTS, size.forked + 3)
    parent = journals.played(world)
    taken: dict[str, list[float]] = {"fork": [], "start": []}
    for _ in range(2 * size.times):
        path = journals.path()
        taken["start"].append(_until_a_round(lambda: turnwise.start(world, journal=journals.path(), workers=1), 1))
        forked = _until_a_round(
            lambda path=path: turnwise.fork(parent, size.forked, journal=path, workers=1), size.forked + 1
        )
        taken["fork"].append(forked)
        _same_head(parent, path)
    added = [1_000 * (one - other) for one, other in zip(taken["fork"], taken["start"], strict=True)]
    name = f"fork at round {size.forked:,}, more than a new run takes to its first round"
    return [Figure(name, tuple(added), "ms", 50.0, False, medians(taken))]


def _until_a_round(begin: Callable[[], Live], number: int) -> float:
    begun = time.perf_counter()
    with begin() as live:
        record = live.step()
        taken = time.perf_counter() - begun
    if getattr(record, "round", None) != number:
        raise SystemExit(f"round {number} was to be played, and not {record}")
    return taken


def _same_head(parent: Path, path: Path) -> None:
    """Play an unchanged fork to its end, and compare its head with that of its parent."""
    with turnwise.resume(path, workers=1) as live, live.result() as forked, turnwise.open(parent) as run:
        if forked.head != run.head:
            raise SystemExit(f"the fork comes to {forked.head}, and its parent to {run.head}")
