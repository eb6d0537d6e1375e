"""A count of the rows that are read of a journal."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from turnwise.journal.read.query import Query


class RowsRead:
    """Counts the rows that are read, by the table that they are of."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.by_table: Counter[str] = Counter()
        fetch = Query.rows

        def rows(query: Query, sql: str, *parameters: object) -> list[tuple[object, ...]]:
            found = fetch(query, sql, *parameters)
            table = re.search(r"\bFROM \(?(?:SELECT .* FROM )?(\w+)", sql)
            self.by_table[table[1] if table is not None else "none"] += len(found)
            return found

        patch.setattr(Query, "rows", rows)
