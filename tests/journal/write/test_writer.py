"""Commits from an event loop keep their order, are bounded, and fail for everybody after the first that fails."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.journal.records import create, simple
from turnwise.core.records import EndRecord
from turnwise.errors import EnvironmentFailure, InvariantError
from turnwise.journal import Journal, JournalWriter
from turnwise.journal.file.ahead_row import AheadRow
from turnwise.journal.file.connection import open_writing
from turnwise.journal.file.times import RoundTimes
from turnwise.journal.write.encode import Batch
from turnwise.journal.write.round_commit import RoundCommit
from turnwise.journal.write.rounds import RoundWriter
from turnwise.journal.write.writer import LARGE_ROUNDS_MAX


class Held(RoundWriter):
    """Writes that wait for permission, and fail from a round on if told to."""

    gate: threading.Semaphore
    fails_from: int | None = None

    def write(self, *batches: Batch) -> None:
        for batch in batches:
            assert self.gate.acquire(timeout=60)
            if self.fails_from is not None and batch.round >= self.fails_from:
                raise EnvironmentFailure(f"the disk is full at round {batch.round}")
        super().write(*batches)


@contextmanager
def held(path: Path, permits: int, fails_from: int | None = None) -> Iterator[tuple[Journal, Held]]:
    """A journal as its readers see it, and what writes it."""
    create(path).close()
    with Journal.open(path) as journal, closing(open_writing(path)) as connection:
        writer = Held(connection, path)
        writer.gate = threading.Semaphore(permits)
        writer.fails_from = fails_from
        yield journal, writer


def test_commits_are_on_disk_when_awaited(tmp_path: Path) -> None:
    path = tmp_path / "run.journal"

    async def play(journal: Journal) -> None:
        async with JournalWriter(journal.writer) as writer:
            with Journal.open(path) as reader:
                for number in range(1, 6):
                    await writer.commit(RoundCommit(simple(number)))
                    assert reader.rounds.last_round == number
            await writer.end(EndRecord("quiet", 5, None))
            assert writer.statistics() == {"in_flight": 0, "in_flight_max": 64, "written": 5}

    with create(path) as journal:
        asyncio.run(play(journal))
        assert journal.rounds.end_record == EndRecord("quiet", 5, None)


def test_several_tasks_commit_in_the_order_in_which_they_ask(tmp_path: Path) -> None:
    async def play(journal: Journal) -> None:
        async with JournalWriter(journal.writer, rounds_max=2) as writer:
            await asyncio.gather(*[writer.commit(RoundCommit(simple(number))) for number in range(1, 30)])

    with create(tmp_path / "run.journal") as journal:
        asyncio.run(play(journal))
        assert list(journal.rounds.between()) == [simple(number) for number in range(1, 30)]


def test_a_bounded_number_is_in_flight(tmp_path: Path) -> None:
    async def play(rounds: Held) -> None:
        async with JournalWriter(rounds, rounds_max=2) as writer:
            await writer.hand_over(RoundCommit(simple(1)))
            await writer.hand_over(RoundCommit(simple(2)))
            third = asyncio.ensure_future(writer.hand_over(RoundCommit(simple(3))))
            for _ in range(10):
                await asyncio.sleep(0)
            assert not third.done()
            assert writer.statistics()["in_flight"] == 2
            rounds.gate.release()
            await third
            rounds.gate.release(2)
            await writer.wait_durable()
            assert writer.statistics()["written"] == 3

    with held(tmp_path / "run.journal", 0) as (journal, rounds):
        asyncio.run(play(rounds))
        assert journal.rounds.last_round == 3


def test_a_failure_is_everybodys_and_nothing_is_written_after_it(tmp_path: Path) -> None:
    async def play(rounds: Held) -> None:
        writer = JournalWriter(rounds)
        results = await asyncio.gather(
            *[writer.commit(RoundCommit(simple(number))) for number in (1, 2, 3)], return_exceptions=True
        )
        assert results[0] is None
        assert [str(result) for result in results[1:]] == ["the disk is full at round 2"] * 2
        for call in (
            writer.commit(RoundCommit(simple(4))),
            writer.wait_durable(),
            writer.end(EndRecord("quiet", 4, None)),
        ):
            with pytest.raises(EnvironmentFailure, match="at round 2"):
                await call
        await writer.close()
        await writer.close()

    with held(tmp_path / "run.journal", 100, fails_from=2) as (journal, rounds):
        asyncio.run(play(rounds))
        assert list(journal.rounds.between()) == [simple(1)]
        assert journal.rounds.end_record is None


def test_a_failure_that_nobody_asked_for_is_told_when_closing(tmp_path: Path) -> None:
    async def play(rounds: Held) -> None:
        async with JournalWriter(rounds) as writer:
            await writer.hand_over(RoundCommit(simple(1)))

    with held(tmp_path / "run.journal", 100, fails_from=1) as (_, rounds), pytest.raises(EnvironmentFailure):
        asyncio.run(play(rounds))


def test_a_cancelled_caller_does_not_lose_the_round(tmp_path: Path) -> None:
    async def play(rounds: Held) -> None:
        async with JournalWriter(rounds) as writer:
            task = asyncio.ensure_future(writer.commit(RoundCommit(simple(1))))
            for _ in range(5):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            rounds.gate.release(2)
            await writer.commit(RoundCommit(simple(2)))

    with held(tmp_path / "run.journal", 0) as (journal, rounds):
        asyncio.run(play(rounds))
        assert list(journal.rounds.between()) == [simple(1), simple(2)]


def test_a_record_that_cannot_be_is_refused_at_once_and_the_next_fits(tmp_path: Path) -> None:
    async def play(journal: Journal) -> None:
        async with JournalWriter(journal.writer) as writer:
            await writer.hand_over(RoundCommit(simple(1)))
            with pytest.raises(InvariantError):
                await writer.hand_over(RoundCommit(replace(simple(2), messages=())))
            await writer.commit(RoundCommit(simple(2)))

    with create(tmp_path / "run.journal") as journal:
        asyncio.run(play(journal))
        assert journal.check() == 2


def test_a_round_that_is_handed_over_before_the_loop_hears_of_a_failure_is_not_written(tmp_path: Path) -> None:
    """The write fails on its thread, and the loop asks for the next round before the future tells it."""
    failed, heard = threading.Event(), threading.Event()

    class Late(RoundWriter):
        def write(self, *batches: Batch) -> None:
            (batch,) = batches
            if batch.round == 2:
                self._connection.execute("PRAGMA max_page_count = 1")
            try:
                super().write(batch)
            finally:
                if batch.round == 2:
                    self._connection.execute("PRAGMA max_page_count = 1000000")
                    failed.set()
                    assert heard.wait(60)

    async def play(rounds: RoundWriter) -> None:
        writer = JournalWriter(rounds)
        await writer.commit(RoundCommit(simple(1)))
        await writer.hand_over(RoundCommit(simple(2, size=200_000)))
        assert failed.wait(60)
        with pytest.raises(EnvironmentFailure, match="Everything up to round 1"):
            await writer.hand_over(RoundCommit(simple(3)))
        heard.set()
        with pytest.raises(EnvironmentFailure, match="Everything up to round 1"):
            await writer.close()

    path = tmp_path / "run.journal"
    create(path).close()
    with Journal.open(path) as journal, closing(open_writing(path)) as connection:
        asyncio.run(play(Late(connection, path)))
        assert list(journal.rounds.between()) == [simple(1)]


LARGE = 3_000
"""Turns of a round of which four take more memory than may be ahead of the disk."""


class Noted(RoundWriter):
    """Notes which rounds came to the disk together, and waits for permission to write the first of them."""

    gate: threading.Event
    together: list[list[int]]

    def write(self, *batches: Batch) -> None:
        assert self.gate.wait(60)
        super().write(*batches)
        self.together.append([batch.round for batch in batches])


@contextmanager
def noted(path: Path, agents: int = 3) -> Iterator[tuple[Journal, Noted]]:
    create(path, agents).close()
    with Journal.open(path) as journal, closing(open_writing(path)) as connection:
        writer = Noted(connection, path)
        writer.gate, writer.together = threading.Event(), []
        yield journal, writer


def test_rounds_that_come_while_the_disk_is_waited_for_come_to_it_together(tmp_path: Path) -> None:
    async def play(rounds: Noted) -> None:
        async with JournalWriter(rounds) as writer:
            for number in range(1, 9):
                await writer.hand_over(RoundCommit(simple(number), times=RoundTimes(number, 0, 1, {}, {}, {})))
            rounds.gate.set()
            await writer.wait_durable(1)
            assert writer.statistics()["written"] >= 1

    with noted(tmp_path / "run.journal") as (journal, rounds):
        asyncio.run(play(rounds))
        assert rounds.together == [[1], [2, 3, 4, 5], [6, 7], [8]]  # each a power of two of those that wait
        assert list(journal.rounds.between()) == [simple(number) for number in range(1, 9)]
        assert journal.check() == 8


def test_a_large_round_comes_to_the_disk_by_itself_and_few_of_them_are_in_flight(tmp_path: Path) -> None:
    async def play(rounds: Noted) -> None:
        async with JournalWriter(rounds) as writer:
            for number in range(1, LARGE_ROUNDS_MAX + 1):
                await writer.hand_over(RoundCommit(simple(number, LARGE)))
            next_ = asyncio.ensure_future(writer.hand_over(RoundCommit(simple(LARGE_ROUNDS_MAX + 1, LARGE))))
            for _ in range(10):
                await asyncio.sleep(0)
            assert not next_.done()
            rounds.gate.set()
            await next_

    with noted(tmp_path / "run.journal", LARGE) as (_, rounds):
        asyncio.run(play(rounds))
        assert rounds.together == [[number] for number in range(1, LARGE_ROUNDS_MAX + 2)]


def test_an_end_is_the_last_of_a_transaction(tmp_path: Path) -> None:
    end = EndRecord("finished", 4, "1")

    async def play(rounds: Noted) -> None:
        async with JournalWriter(rounds) as writer:
            for number in range(1, 4):
                await writer.hand_over(RoundCommit(simple(number)))
            await writer.hand_over(RoundCommit(simple(4), end))
            rounds.gate.set()

    with noted(tmp_path / "run.journal") as (journal, rounds):
        asyncio.run(play(rounds))
        assert rounds.together == [[1], [2, 3], [4]]
        assert journal.rounds.end_record == end


def test_a_round_behind_the_end_is_refused_in_one_transaction(tmp_path: Path) -> None:
    with noted(tmp_path / "run.journal") as (journal, rounds):
        rounds.gate.set()
        batches = (
            rounds.encode(RoundCommit(simple(1), EndRecord("finished", 1, "1"))),
            rounds.encode(RoundCommit(simple(2))),
        )
        with pytest.raises(InvariantError, match="after the last"):
            rounds.write(*batches)
        assert journal.rounds.last_round == 0


def test_a_transaction_that_fails_keeps_none_of_its_rounds(tmp_path: Path) -> None:
    told: list[BaseException] = []

    async def play(rounds: Held) -> None:
        writer = JournalWriter(rounds)
        writer.on_failure = told.append
        for number in range(1, 6):
            await writer.hand_over(RoundCommit(simple(number)))
        rounds.gate.release(100)
        with pytest.raises(EnvironmentFailure, match="full at round 3"):
            await writer.wait_durable()
        await writer.close()

    with held(tmp_path / "run.journal", 0, fails_from=3) as (journal, rounds):
        asyncio.run(play(rounds))
        assert list(journal.rounds.between()) == [simple(1)]  # 2 came to the disk together with 3
        assert [str(error) for error in told] == ["the disk is full at round 3"]


def test_a_round_that_is_waited_for_is_written_in_the_loop_if_nothing_is_before_it(tmp_path: Path) -> None:
    threads: list[str] = []

    class Named(RoundWriter):
        def write(self, *batches: Batch) -> None:
            threads.append(threading.current_thread().name)
            super().write(*batches)

    async def play(rounds: RoundWriter) -> None:
        async with JournalWriter(rounds, in_loop=True) as writer:
            await writer.commit(RoundCommit(simple(1)))
            await writer.hand_over(RoundCommit(simple(2)))
            await writer.commit(RoundCommit(simple(3)))
            await writer.commit(RoundCommit(simple(4)))
            assert writer.statistics() == {"in_flight": 0, "in_flight_max": 64, "written": 4}

    path = tmp_path / "run.journal"
    create(path).close()
    with Journal.open(path) as journal, closing(open_writing(path)) as connection:
        asyncio.run(play(Named(connection, path)))
        assert [name.startswith("turnwise-journal") for name in threads] == [False, True, True, False]
        assert list(journal.rounds.between()) == [simple(number) for number in range(1, 5)]


def test_a_failure_in_the_loop_is_everybodys_as_well(tmp_path: Path) -> None:
    told: list[BaseException] = []

    async def play(rounds: Held) -> None:
        writer = JournalWriter(rounds, in_loop=True)
        writer.on_failure = told.append
        await writer.commit(RoundCommit(simple(1)))
        for call in (
            writer.commit(RoundCommit(simple(2))),
            writer.commit(RoundCommit(simple(3))),
            writer.wait_durable(),
        ):
            with pytest.raises(EnvironmentFailure, match="at round 2"):
                await call
        await writer.close()

    with held(tmp_path / "run.journal", 100, fails_from=2) as (journal, rounds):
        asyncio.run(play(rounds))
        assert list(journal.rounds.between()) == [simple(1)]
        assert len(told) == 1


def known(index: int, outcome: str | None = None) -> AheadRow:
    return AheadRow(0, 1, index, 0, '{"effect":"call"}', True, False, outcome, None)


def test_what_is_known_of_an_effect_is_written_in_the_loop_while_nothing_else_goes_on(tmp_path: Path) -> None:
    threads: list[str] = []

    class Named(RoundWriter):
        gate = threading.Event()

        def write_ahead(self, rows: Sequence[AheadRow]) -> None:
            threads.append(threading.current_thread().name)
            super().write_ahead(rows)

        def write(self, *batches: Batch) -> None:
            assert self.gate.wait(60)
            super().write(*batches)

        def keep_times(self) -> None:
            assert self.gate.wait(60)
            super().keep_times()

    async def play(rounds: Named, journal: Journal) -> None:
        async with JournalWriter(rounds, in_loop=True) as writer:
            await writer.ahead(known(0), is_alone=True)
            assert journal.ahead.rows() == [known(0)]
            await writer.ahead(known(0, "{}"))
            await writer.hand_over(RoundCommit(simple(1)))
            behind = asyncio.ensure_future(writer.ahead(known(1), is_alone=True))
            await asyncio.sleep(0)
            assert len(threads) == 2, "not before the round that was handed over"
            rounds.gate.set()
            await behind
            rounds.gate.clear()
            keeping = asyncio.ensure_future(writer.keep_times())
            await asyncio.sleep(0)
            beside = asyncio.ensure_future(writer.ahead(known(2), is_alone=True))
            await asyncio.sleep(0)
            keeping.cancel()
            await asyncio.sleep(0)
            assert len(threads) == 3, "nor while the other thread writes anything"
            rounds.gate.set()
            await beside
            await writer.ahead(known(3), is_alone=True)
        async with JournalWriter(rounds) as writer:
            await writer.ahead(known(4), is_alone=True)

    path = tmp_path / "run.journal"
    create(path).close()
    with Journal.open(path) as journal, closing(open_writing(path)) as connection:
        asyncio.run(play(Named(connection, path), journal))
        assert [name.startswith("turnwise-journal") for name in threads] == [False, True, True, True, False, True]
        assert [row.index for row in journal.ahead.rows()] == [0, 1, 2, 3, 4]


def test_a_failure_of_what_is_known_of_an_effect_is_everybodys(tmp_path: Path) -> None:
    class Full(RoundWriter):
        def write_ahead(self, rows: Sequence[AheadRow]) -> None:
            raise EnvironmentFailure("the disk is full")

    async def play(rounds: RoundWriter) -> None:
        told: list[BaseException] = []
        writer = JournalWriter(rounds, in_loop=True)
        writer.on_failure = told.append
        for call in (writer.ahead(known(0), is_alone=True), writer.commit(RoundCommit(simple(1)))):
            with pytest.raises(EnvironmentFailure, match="the disk is full"):
                await call
        await writer.close()
        assert len(told) == 1

    path = tmp_path / "run.journal"
    create(path).close()
    with closing(open_writing(path)) as connection:
        asyncio.run(play(Full(connection, path)))
