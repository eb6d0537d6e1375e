"""A round that is to be made durable, with what goes along with it."""

from __future__ import annotations

from dataclasses import dataclass

from turnwise.core.records import EndRecord, RoundRecord
from turnwise.core.snapshot import Snapshot
from turnwise.journal.file.box_position import BoxPosition
from turnwise.journal.file.times import RoundTimes


@dataclass(frozen=True, slots=True)
class RoundCommit:
    """A round and all that is written with it, in one transaction."""

    record: RoundRecord
    """The round."""
    end: EndRecord | None = None
    """End of the run, if the round itself brought it about."""
    times: RoundTimes | None = None
    """Times of the round, which nothing proves."""
    snapshot: Snapshot | None = None
    """Snapshot of the world after the round, where it is due."""
    received: BoxPosition | None = None
    """Position up to which the run has read what is sent to it, if that is another than before."""
