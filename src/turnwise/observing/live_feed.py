"""Live data of a run that is being played: read of its orchestrator's telemetry, lossy, and apart from the journal."""

from __future__ import annotations

from pathlib import Path
from typing import Final

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
