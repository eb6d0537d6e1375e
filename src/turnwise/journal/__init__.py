"""The journal: everything a run has committed, in one SQLite file.

`Journal` owns the file; `JournalWriter` commits from an asyncio loop on a thread of its own. Layers inside, each knows
those below: writer > journal > world > reader | encode > decode > blobs > connection | lock | values > faults > format.
"""

from __future__ import annotations

from turnwise.journal.journal import Journal
from turnwise.journal.rows import LogRow, PendingMessage, RecordRow, RoundSummary, Standing, WriterRow
from turnwise.journal.source import CodeSource
from turnwise.journal.writer import JournalWriter

__all__ = [
    "CodeSource",
    "Journal",
    "JournalWriter",
    "LogRow",
    "PendingMessage",
    "RecordRow",
    "RoundSummary",
    "Standing",
    "WriterRow",
]
