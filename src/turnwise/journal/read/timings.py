"""Times of rounds, from the table that a journal may lack. Nothing proves them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from turnwise.journal.file.errors import damaged
from turnwise.journal.file.stored_json import stored_json
from turnwise.journal.file.times import RoundTimes, Span
from turnwise.journal.read.decode import Row, pages
from turnwise.journal.read.query import PAGE_ROWS, Query

_TIMES: Final = (
    "SELECT round, started_us, duration_us, commit_start_us, commit_us, turns, effects, waves FROM timings "
    "WHERE round > ? AND round <= ? ORDER BY round LIMIT ?"
)
ROUND_MAX: Final = 2**63 - 1


class TimingReader:
    """Reads the times of rounds. Raises JournalError where they are none."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._agents = 0

    @property
    def there(self) -> bool:
        """True if the journal holds times: it may be older than they are, or they may have been dropped."""
        return self._query.row("SELECT 1 FROM sqlite_master WHERE name = 'timings'") is not None

    @property
    def count(self) -> int:
        """The number of rounds that have times."""
        row = self._query.row("SELECT count(*) FROM timings") if self.there else None
        return 0 if row is None else int(row[0])

    def between(self, first: int = 1, last: int = ROUND_MAX) -> Iterator[RoundTimes]:
        """Times of rounds `first` to `last`, as far as there are any: the last of a crashed run have none."""
        if not self.there:
            return iter(())
        rows = pages(lambda after: self._query.rows(_TIMES, after, last, PAGE_ROWS), first - 1, PAGE_ROWS)
        return map(self._times, rows)

    def lengths(self, after: int = 0) -> Iterator[tuple[int, int, int]]:
        """Round, start and duration (microseconds) of the rounds behind `after` that have times; no turns are read."""
        if not self.there:
            return iter(())
        integer = self._query.decoder.integer
        select = "SELECT round, started_us, duration_us FROM timings WHERE round > ? ORDER BY round LIMIT ?"
        rows = pages(lambda last: self._query.rows(select, last, PAGE_ROWS), after, PAGE_ROWS)
        return ((integer(one, "a round"), integer(two, "a time"), integer(three, "a time")) for one, two, three in rows)

    def duration_us(self) -> int | None:
        """Time from the beginning of the first round with times to the end of the last; None without any."""
        if not self.there:
            return None
        row = self._query.row("SELECT min(started_us), max(started_us + duration_us) FROM timings")
        if row is None or row[0] is None:
            return None
        return self._query.decoder.integer(row[1], "a time") - self._query.decoder.integer(row[0], "a time")

    def round(self, number: int) -> RoundTimes | None:
        """Times of one round, None if there are none."""
        return next(self.between(number, number), None)

    def turn_times(self, first: int, last: int) -> Iterator[tuple[int, list[int], list[int]]]:
        """Rounds `first` to `last` with places and, as long, how many microseconds their turns took."""
        if not self.there:
            return
        select = "SELECT round, turns FROM timings WHERE round > ? AND round <= ? ORDER BY round LIMIT ?"
        for number, column in pages(
            lambda after: self._query.rows(select, after, last, PAGE_ROWS), first - 1, PAGE_ROWS
        ):
            places, _, durations = self._lists(column, 1, f"times of turns of round {number}")
            self._check_places(number, places)
            yield number, places, durations

    def _times(self, row: Row) -> RoundTimes:
        integer = self._query.decoder.integer
        number = integer(row[0], "a round with times")
        started, duration, commit_start, commit = (integer(time, f"a time of round {number}") for time in row[1:5])
        places, turns = self._spans(row[5], 1, f"times of turns of round {number}")
        (of, indices), effects = self._spans(row[6], 2, f"times of effects of round {number}")
        self._check_places(number, places[0] + of)
        waves, wave_spans = self._spans(row[7], 1, f"times of waves of round {number}")
        return RoundTimes(
            number,
            started,
            duration,
            dict(zip(places[0], turns, strict=True)),
            dict(zip(zip(of, indices, strict=True), effects, strict=True)),
            dict(zip(waves[0], wave_spans, strict=True)),
            Span(commit_start, commit),
        )

    def _check_places(self, number: int, places: list[int]) -> None:
        highest = max(places, default=-1)
        if highest >= self._agents:
            row = self._query.row("SELECT count(*) FROM agents")
            self._agents = 0 if row is None else row[0]
        if highest >= self._agents:
            what = f"round {number} has times of an agent that is not there"
            raise damaged(self._query.path, what, expected=self._agents, actual=highest)

    def _spans(self, column: object, keys: int, what: str) -> tuple[list[list[int]], list[Span]]:
        """The lists of keys, and the spans, of a column."""
        lists = self._lists(column, keys, what)
        return lists[:keys], [Span(start, duration) for start, duration in zip(*lists[keys:], strict=True)]

    def _lists(self, column: object, keys: int, what: str) -> list[list[int]]:
        """The lists of numbers that a column holds, each as long as the others: of keys, of starts, of durations."""
        path = self._query.path
        lists = stored_json(self._query.decoder.text(column, what), what, path)
        if not isinstance(lists, list) or len(lists) != keys + 2 or not all(isinstance(of, list) for of in lists):
            raise damaged(path, f"{what} are not {keys + 2} lists")
        if any(type(number) is not int or number < 0 for of in lists for number in of):
            raise damaged(path, f"{what} are not all numbers from 0")
        if len({len(of) for of in lists}) != 1:
            raise damaged(path, f"{what} are lists of unequal lengths")
        return lists
