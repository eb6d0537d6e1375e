"""A stream that many listen to and that is made once: each listener has the newest, and never what it has missed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable


class Broadcast:
    """Lines of a source, which is read while somebody listens and closed when nobody does any more."""

    def __init__(self, source: Callable[[], AsyncIterator[str]]) -> None:
        self._source = source
        self._reading: _Reading | None = None

    @property
    def listeners(self) -> int:
        """Count those who listen."""
        return 0 if self._reading is None else self._reading.listeners

    async def lines(self) -> AsyncIterator[str]:
        """Yield the newest line there is, then whatever is the newest when it is asked for; ends as the source does."""
        reading = self._reading
        if reading is None or reading.over:
            reading = self._reading = _Reading(self._source())
        reading.listeners += 1
        seen = 0
        try:
            while True:
                while reading.number == seen and not reading.over:
                    await reading.changed.wait()
                if reading.number == seen:
                    await asyncio.wait([reading.task])
                    reading.task.result()
                    return
                seen = reading.number
                yield reading.newest
        finally:
            reading.listeners -= 1
            if reading.listeners == 0:
                reading.task.cancel()
                if self._reading is reading:
                    self._reading = None


class _Reading:
    """One reading of the source, from its first listener to its last, or to its end."""

    def __init__(self, source: AsyncIterator[str]) -> None:
        self.listeners = 0
        self.number = 0
        self.newest = ""
        self.over = False
        self.changed = asyncio.Event()
        self.task = asyncio.get_running_loop().create_task(self._read(source))

    async def _read(self, source: AsyncIterator[str]) -> None:
        try:
            async for line in source:
                self.newest = line
                self.number += 1
                self._tell()
        finally:
            self.over = True
            self._tell()

    def _tell(self) -> None:
        """Wake all who wait, and let them wait for what comes next."""
        self.changed.set()
        self.changed = asyncio.Event()
