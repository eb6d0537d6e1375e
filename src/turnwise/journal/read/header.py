"""The header of a journal: the plan, who wrote it, and what its agents execute."""

from __future__ import annotations

from collections.abc import Mapping

from turnwise.journal.file.code_source import CodeSource
from turnwise.journal.file.errors import damaged
from turnwise.journal.read.query import Query
from turnwise.journal.read.rows import WriterRow


class HeaderReader:
    """Reads what does not grow with the rounds of a run."""

    def __init__(self, query: Query) -> None:
        self._query = query

    def meta(self, name: str) -> str:
        """A text of the table `meta`."""
        row = self._query.row("SELECT value FROM meta WHERE name = ?", name)
        if row is None:
            raise damaged(self._query.path, f"its {name} is missing")
        return self._query.decoder.value(row[0], name)

    @property
    def plan(self) -> str:
        """The world's plan, canonical JSON text."""
        return self.meta("plan")

    @property
    def info(self) -> str:
        """What the latest writer noted to find things again (paths, providers), JSON text. Not part of any head."""
        return self.writers()[-1].info

    @property
    def versions(self) -> str:
        """Versions of everything as the run began with, JSON text; the execution chain begins with it."""
        return self.writers()[0].versions

    def writers(self) -> list[WriterRow]:
        """Who wrote: the run itself first, then each resume."""
        decoder = self._query.decoder
        rows = self._query.rows("SELECT round, versions, info FROM writers ORDER BY id")
        if not rows:
            raise damaged(self._query.path, "nobody wrote it")
        return [
            WriterRow(
                decoder.integer(row[0], "round of a writer"),
                decoder.value(row[1], "versions of a writer"),
                decoder.value(row[2], "info of a writer"),
            )
            for row in rows
        ]

    @property
    def codes(self) -> Mapping[str, CodeSource]:
        """What agents execute, by the code hash of the plan."""
        decoder = self._query.decoder
        codes: dict[str, CodeSource] = {}
        for code, carrier, entry, interpreter in self._query.rows(
            "SELECT code, carrier, entry, interpreter FROM codes"
        ):
            files = []
            for name, blob in self._query.rows("SELECT name, blob FROM code_files WHERE code = ? ORDER BY nr", code):
                number = decoder.integer(blob, f"blob of a file of code {code}")
                files.append((decoder.text(name, f"name of a file of code {code}"), decoder.blobs.content(number)))
            codes[decoder.text(code, "hash of a code")] = CodeSource(
                decoder.text(carrier, f"carrier of code {code}"),
                decoder.text(entry, f"entry of code {code}"),
                tuple(files),
                None if interpreter is None else decoder.text(interpreter, f"interpreter of code {code}"),
            )
        return codes
