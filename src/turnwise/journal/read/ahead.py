"""Effects that are known of before their rounds are committed."""

from __future__ import annotations

from turnwise.journal.file.ahead_row import AheadRow
from turnwise.journal.file.errors import damaged
from turnwise.journal.read.decode import Row
from turnwise.journal.read.query import Query

_AHEAD = "SELECT place, turn, nr, stage, request, made, parked, outcome, tokens FROM ahead"


class AheadReader:
    """Reads the rows that a writer left which did not come to commit their rounds. An older journal has none."""

    def __init__(self, query: Query) -> None:
        self._query = query

    def rows(self) -> list[AheadRow]:
        """Return all rows. Raises `JournalError` for one that cannot be one."""
        if self._query.row("SELECT 1 FROM sqlite_master WHERE name = 'ahead'") is None:
            return []
        return [self._row(row) for row in self._query.rows(f"{_AHEAD} ORDER BY place, turn, nr, stage")]

    def _row(self, row: Row) -> AheadRow:
        decoder = self._query.decoder
        what = f"of an effect of place {row[0]} ahead of its round"
        numbers = [decoder.integer(value, f"a number {what}") for value in row[:4]]
        flags = [decoder.integer(value, f"a flag {what}") for value in row[5:7]]
        texts = [row[4], "" if row[7] is None else row[7]]
        if not set(flags) <= {0, 1} or any(type(text) is not str for text in texts):
            raise damaged(self._query.path, f"the row {what} is none", actual=row)
        tokens = None if row[8] is None else decoder.json(row[8], f"tokens {what}")
        if tokens is not None and not (isinstance(tokens, list) and all(type(token) is int for token in tokens)):
            raise damaged(self._query.path, f"tokens {what} are none", actual=row[8])
        place, turn, index, stage = numbers
        return AheadRow(
            place,
            turn,
            index,
            stage,
            row[4],
            flags[0] == 1,
            flags[1] == 1,
            row[7],
            None if tokens is None else tuple(tokens),
        )
