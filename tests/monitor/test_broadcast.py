"""What is told to many is made once: each listener has the newest, and the source ends with the last of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from turnwise.monitor.broadcast import Broadcast


class Source:
    """Lines that a test gives, one after the other; how often it was begun, and whether it is closed."""

    def __init__(self) -> None:
        self.given: asyncio.Queue[str | None] = asyncio.Queue()
        self.begun = 0
        self.closed = 0

    async def lines(self) -> AsyncIterator[str]:
        self.begun += 1
        try:
            while (line := await self.given.get()) is not None:
                if line == "fail":
                    raise ValueError("the source has failed")
                yield line
        finally:
            self.closed += 1


async def settle() -> None:
    """Let everything go on that can."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_many_listen_to_one_reading() -> None:
    async def main() -> None:
        source = Source()
        broadcast = Broadcast(source.lines)
        listeners = [broadcast.lines() for _ in range(3)]
        source.given.put_nowait("1")
        assert [await anext(lines) for lines in listeners] == ["1"] * 3
        assert (source.begun, broadcast.listeners) == (1, 3)
        source.given.put_nowait("2")
        assert [await anext(lines) for lines in listeners] == ["2"] * 3
        late = broadcast.lines()
        assert await anext(late) == "2"
        source.given.put_nowait(None)
        assert [await anext(lines, "over") for lines in (*listeners, late)] == ["over"] * 4
        assert (source.begun, source.closed, broadcast.listeners) == (1, 1, 0)

    asyncio.run(main())


def test_who_is_slow_has_the_newest_and_not_what_it_missed() -> None:
    async def main() -> None:
        source = Source()
        lines = Broadcast(source.lines).lines()
        source.given.put_nowait("1")
        assert await anext(lines) == "1"
        for number in range(2, 9):
            source.given.put_nowait(str(number))
        await settle()
        assert await anext(lines) == "8"
        await lines.aclose()  # type: ignore[attr-defined]

    asyncio.run(main())


def test_the_source_is_closed_with_the_last_listener_and_begun_anew_with_the_next() -> None:
    async def main() -> None:
        source = Source()
        broadcast = Broadcast(source.lines)
        one, other = broadcast.lines(), broadcast.lines()
        source.given.put_nowait("1")
        assert [await anext(one), await anext(other)] == ["1", "1"]
        await one.aclose()  # type: ignore[attr-defined]
        await settle()
        assert (broadcast.listeners, source.closed) == (1, 0)
        await other.aclose()  # type: ignore[attr-defined]
        await settle()
        assert (broadcast.listeners, source.closed) == (0, 1)
        again = broadcast.lines()
        source.given.put_nowait("2")
        assert await anext(again) == "2"
        assert source.begun == 2
        await again.aclose()  # type: ignore[attr-defined]

    asyncio.run(main())


def test_what_is_wrong_with_the_source_reaches_each_listener() -> None:
    async def main() -> None:
        source = Source()
        broadcast = Broadcast(source.lines)
        listeners = [broadcast.lines(), broadcast.lines()]
        source.given.put_nowait("1")
        for lines in listeners:
            assert await anext(lines) == "1"
        source.given.put_nowait("fail")
        for lines in listeners:
            with pytest.raises(ValueError, match="the source has failed"):
                await anext(lines)

    asyncio.run(main())
