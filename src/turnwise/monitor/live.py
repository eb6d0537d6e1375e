"""Live data of a run that is being played: read of its orchestrator's telemetry, lossy, and apart from the journal."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from turnwise.journal.journal import Journal
from turnwise.telemetry.address import Telemetry
from turnwise.telemetry.sample import Sample

NOBODY = "nobody plays the run now"
SILENT = (
    "the process that plays it tells nothing live: it was told not to, or its system has no memory that can be sealed"
)
AWAY = "its telemetry cannot be read from here: its process is gone, or another user's, or in another container"
OTHER = "the process that plays it is another version of Turnwise, whose telemetry is not known here"
BEGINS = "its process has told nothing yet"


STILL_LOOKS: Final = 20
"""Looks without a new sample after which the memory is looked for again: its process may have begun another."""


class LiveFeed:
    """Telemetry of the process that plays a run, at the moment of each look. Closes twice without harm.

    `why` says why there is nothing, after a look that found nothing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._address: str | None = None
        self._telemetry: Telemetry | None = None
        self._seen, self._still = 0, 0
        self.why = NOBODY

    def look(self) -> Sample | None:
        """Return the newest sample; None if there is none now. Never waits for the run."""
        address = Journal.announced(self._path)
        if address != self._address:
            self.close()
        if address is None:
            self.why = SILENT if Journal.is_written(self._path) else NOBODY
            return None
        try:
            if self._telemetry is None:
                self._telemetry, self._address = Telemetry(address), address
            found = self._telemetry.read()
        except OSError:
            self.why = AWAY
            return None
        except ValueError:
            self.why = OTHER
            return None
        self.why = BEGINS
        number = 0 if found is None else found.state.sample
        self._still = self._still + 1 if number == self._seen else 0
        self._seen = number
        if self._still >= STILL_LOOKS:
            self.close()
        return found

    def close(self) -> None:
        """Give up the telemetry."""
        if self._telemetry is not None:
            self._telemetry.close()
        self._telemetry = self._address = None
        self._still = 0


def told(sample: Sample, name: Callable[[int], str]) -> dict[str, Any]:
    """A sample as the page has it; `name` makes names of places."""
    state = sample.state
    return {
        "sample": state.sample,
        "age_ms": max(0, time.time_ns() // 1_000 - state.at_us) // 1_000,
        "phase": state.phase,
        "round": state.round,
        "turns": state.turns,
        "failures": state.failures,
        "executing": [name(place) for place in state.executing],
        "executing_count": state.executing_count,
        "asking": list(dict.fromkeys(name(place) for place in state.asking)),
        "asking_count": state.asking_count,
        "workers": list(state.workers),
        "workers_count": state.workers_count,
        "jobs_queued": state.jobs_queued,
        "worker_deaths": state.worker_deaths,
        "running": state.running,
        "waiting": state.waiting,
        "slots": state.slots,
        "kv_bytes": state.kv_bytes,
        "tokens": state.tokens,
        "restarts": state.restarts,
        "texts": [
            {
                "agent": name(text.place),
                "effect": text.effect,
                "tokens": text.tokens,
                "text": text.tail,
                "cut": text.cut,
            }
            for text in sample.texts
        ],
        "hidden": state.texts_hidden + sample.lost,
    }


class PlaceNames:
    """Names of agents by place, as far as the journal has them: those that were spawned in this round come later."""

    def __init__(self) -> None:
        self._names: list[str] = []

    def lacks(self, sample: Sample) -> bool:
        """Return whether an agent of a sample has no name here yet."""
        state = sample.state
        places = (*state.executing, *state.asking, *[text.place for text in sample.texts])
        return max(places, default=-1) >= len(self._names)

    def take(self, names: list[str]) -> None:
        """Take the names that a journal has now."""
        self._names = names

    def __call__(self, place: int) -> str:
        """Return the name of the agent at a place."""
        return self._names[place] if 0 <= place < len(self._names) else f"agent {place}"
