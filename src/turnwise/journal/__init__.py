"""The journal: everything a run has committed, in one SQLite file.

`Journal` owns the file and has what reads and what writes it; `JournalWriter` commits from an asyncio loop on a thread
of its own; `Run` is a journal as people read it. Rooms, each knows those below: run > journal > read | write > file.
"""

from __future__ import annotations

from turnwise.journal.file.code_source import CodeSource
from turnwise.journal.file.times import RoundTimes, Span
from turnwise.journal.journal import Journal
from turnwise.journal.read.rows import LogRow, PendingMessage, RecordRow, RoundSummary, Standing, WriterRow
from turnwise.journal.write.writer import JournalWriter

__all__ = [
    "CodeSource",
    "Journal",
    "JournalWriter",
    "LogRow",
    "PendingMessage",
    "RecordRow",
    "RoundSummary",
    "RoundTimes",
    "Span",
    "Standing",
    "WriterRow",
]
