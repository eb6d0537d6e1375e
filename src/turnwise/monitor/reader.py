"""One run, read on a thread of its own, so that a long answer about it holds up no other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from turnwise.evidence.opened import journal_of
from turnwise.journal.journal import Journal

T = TypeVar("T")


class RunReader:
    """A journal, or that of a bundle, open for reading, and the one thread that reads it.

    Every question reads what is committed at that moment, and leaves no transaction open behind it, so that a run that
    is still written is never held up. While it is written, the file itself is closed whenever nobody asks: whoever has
    it open keeps the writer from clearing away SQLite's log when the run ends.
    """

    def __init__(self, path: Path, parents: Sequence[Path] = ()) -> None:
        self.path = path
        self._parents = parents
        self._stack = ExitStack()
        self._journal: Journal | None = None
        self._thread = ThreadPoolExecutor(1, "turnwise-monitor")
        self._asked = 0

    async def ask(self, question: Callable[[Journal], T]) -> T:
        """Answer a question about the journal; the first also opens it. Raises what opening or reading raises."""
        self._asked += 1
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._answer, question)

    def check(self) -> None:
        """Open the journal once, and raise what is wrong with it."""
        self._asked += 1
        self._thread.submit(self._answer, lambda _: None).result()

    def _answer(self, question: Callable[[Journal], T]) -> T:
        try:
            if self._journal is None:
                file = self._stack.enter_context(journal_of(self.path))
                self._journal = self._stack.enter_context(Journal.open(file, parents=self._parents))
            return question(self._journal)
        finally:
            self._asked -= 1
            if self._asked == 0 and self.path.with_name(f"{self.path.name}-wal").exists():
                self._close()

    def _close(self) -> None:
        self._journal = None
        self._stack.close()

    def close(self) -> None:
        """Close the journal once the questions that were asked are answered."""
        self._thread.submit(self._close)
        self._thread.shutdown(wait=False)
