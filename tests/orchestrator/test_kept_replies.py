"""Replies that cannot come again are on disk before anything follows from them, and are found after a crash."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from turnwise.core.events import Request
from turnwise.core.records import WaveRecord
from turnwise.core.turn import EffectRequest
from turnwise.errors import DifferenceFound, EnvironmentFailure, TurnwiseError
from turnwise.journal.file.ahead_row import AheadRow
from turnwise.orchestrator.ahead import Ahead
from turnwise.orchestrator.driven import Replies
from turnwise.orchestrator.kept_replies import KeptReplies

KEPT = Request(3, 0, EffectRequest("generate", "remote", '{"prompt":"a"}'), b"", 0, (), 2)
OTHER = Request(4, 0, EffectRequest("generate", "local", '{"prompt":"b"}'), b"", 0, (), 2)


class Disk:
    """Takes rows, and is done with them when it is told so."""

    def __init__(self) -> None:
        self.rows: list[AheadRow] = []
        self.done = asyncio.Event()
        self.failure: EnvironmentFailure | None = None

    async def ahead(self, row: AheadRow, *, is_alone: bool = False) -> None:
        self.rows.append(row)
        await self.done.wait()
        if self.failure is not None:
            raise self.failure


class Asker:
    def __init__(self) -> None:
        self.replies: list[tuple[int, str, tuple[int, ...] | None]] = []
        self.failures: list[TurnwiseError] = []

    def on_replies(self, replies: Replies) -> None:
        self.replies += replies

    def on_wave_begun(self) -> None:
        raise AssertionError("no wave")

    def on_wave(self, records: Sequence[WaveRecord], replies: Replies) -> None:
        raise AssertionError("no wave")

    def on_failure(self, error: TurnwiseError) -> None:
        self.failures.append(error)


class Models:
    def __init__(self) -> None:
        self.asked: list[int] = []
        self.calling: list[int] = []

    def submit(self, requests: Sequence[tuple[int, Request]]) -> None:
        self.asked += [id_ for id_, _ in requests]

    def settled(self, round_: int, calling: Sequence[int] = ()) -> None:
        self.calling = list(calling)


def kept(rows: Sequence[AheadRow] = ()) -> tuple[KeptReplies, Disk, Asker, Models]:
    disk, asker, models = Disk(), Asker(), Models()
    keeper = KeptReplies(asker, Ahead(disk, rows), ["remote"])
    keeper.effects = models
    return keeper, disk, asker, models


async def until_idle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_a_reply_is_handed_on_when_it_is_on_disk_and_others_at_once() -> None:
    async def run() -> None:
        keeper, disk, asker, models = kept()
        keeper.submit([(1, KEPT), (2, OTHER)])
        assert models.asked == [1, 2]
        keeper.on_replies([(1, "first", (7, 8)), (2, "second", None)])
        await until_idle()
        assert asker.replies == [(2, "second", None)]
        assert disk.rows == [AheadRow(3, 2, 0, 0, KEPT.request.body, False, False, "first", (7, 8))]
        keeper.settled(1)
        assert models.calling == [3]
        disk.done.set()
        await until_idle()
        assert asker.replies == [(2, "second", None), (1, "first", (7, 8))]
        keeper.settled(1)
        assert models.calling == []

    asyncio.run(run())


def test_what_an_earlier_process_has_left_is_not_asked_again() -> None:
    async def run() -> None:
        row = AheadRow(3, 2, 0, 0, KEPT.request.body, outcome="left", tokens=(1,))
        keeper, _, asker, models = kept([row])
        keeper.submit([(1, KEPT)])
        await until_idle()
        assert models.asked == []
        assert asker.replies == [(1, "left", (1,))]
        keeper.submit([(2, KEPT)])
        assert models.asked == [2]

    asyncio.run(run())


def test_another_request_at_its_place_ends_the_round() -> None:
    async def run() -> None:
        keeper, _, asker, models = kept([AheadRow(3, 2, 0, 0, '{"prompt":"another"}', outcome="left")])
        keeper.submit([(1, KEPT)])
        assert models.asked == []
        assert [type(failure) for failure in asker.failures] == [DifferenceFound]

    asyncio.run(run())


def test_a_reply_that_cannot_be_written_is_not_handed_on() -> None:
    async def run() -> None:
        keeper, disk, asker, _ = kept()
        keeper.submit([(1, KEPT)])
        disk.failure = EnvironmentFailure("the disk is full")
        disk.done.set()
        keeper.on_replies([(1, "first", None)])
        await until_idle()
        assert asker.replies == []
        assert asker.failures == [disk.failure]

    asyncio.run(run())
