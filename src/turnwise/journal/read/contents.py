"""Contents that agents have put, as the journal holds them: each once, named by the effects that put it."""

from __future__ import annotations

from typing import Final

from turnwise.core.contents import Kept, put_of
from turnwise.journal.file.blobs import HASH_OF_NOTHING
from turnwise.journal.file.errors import damaged
from turnwise.journal.file.format import INTEGER_MAX
from turnwise.journal.read.query import Query

Put = tuple[int, int, int, str, str]
"""Round, place and index of an effect that has put a content, its request and its reply."""

_PUTS: Final = """
SELECT effects.round, effects.place, effects.nr, request, reply, contents.blob FROM effects
JOIN turns USING (round, place) LEFT JOIN contents USING (round, place, nr)
WHERE effects.kind = 'put' AND turns.failure IS NULL AND effects.round <= ?
ORDER BY effects.round, effects.place, effects.nr
"""


class ContentReader:
    """Reads contents. Raises JournalError where the journal is damaged."""

    def __init__(self, query: Query) -> None:
        self._query = query

    @property
    def any(self) -> bool:
        """True if the journal holds any content. One of an older format holds none."""
        if self._query.row("SELECT 1 FROM sqlite_master WHERE name = 'contents'") is None:
            return False
        return self._query.row("SELECT 1 FROM contents LIMIT 1") is not None

    def read(self, kept: Kept) -> bytes:
        """The content that an effect has put, compared with its hash."""
        row = self._query.row(
            "SELECT blob FROM contents WHERE round = ? AND place = ? AND nr = ?", kept.round, kept.place, kept.index
        )
        what = f"the content that place {kept.place} put in round {kept.round}"
        if row is None:
            raise damaged(self._query.path, f"{what} is missing")
        return self._content(row[0], kept.sha256, what)

    def puts(self, last: int) -> list[Put]:
        """All that was put by turns that did not fail, up to a round, in order."""
        if not self.any:
            return []
        value = self._query.decoder.value
        found = []
        for round_, place, index, request, reply, _ in self._query.rows(_PUTS, last):
            what = f"of an effect of place {place} in round {round_}"
            found.append((round_, place, index, value(request, f"request {what}"), value(reply, f"reply {what}")))
        return found

    def is_withheld(self, kept: Kept) -> bool:
        """True if a content was taken out (`turnwise redact`)."""
        row = self._query.row(
            "SELECT size FROM contents JOIN blobs ON blobs.id = contents.blob WHERE round = ? AND place = ? AND nr = ?",
            kept.round,
            kept.place,
            kept.index,
        )
        return row is not None and row[0] == 0 and kept.size > 0

    def withheld(self) -> set[str]:
        """Hashes (hex) of contents that were taken out."""
        if not self.any:
            return set()
        rows = self._query.rows("SELECT hash FROM contents JOIN blobs ON blobs.id = contents.blob WHERE size = 0")
        hashes = {self._hash(row[0]) for row in rows}
        return hashes - {HASH_OF_NOTHING.hex()}

    def check(self) -> None:
        """Compare all contents with what the effects that put them say: none is missing, changed, or too many."""
        if self._query.row("SELECT 1 FROM sqlite_master WHERE name = 'contents'") is None:
            return
        named = 0
        for round_, place, index, request, reply, blob in self._query.rows(_PUTS, INTEGER_MAX):
            value = self._query.decoder.value
            what = f"the content that place {place} put in round {round_}"
            put = put_of(value(request, f"request of {what}"), value(reply, f"reply of {what}"))
            named += blob is not None
            if put is None:
                continue  # refused, or its texts were taken out
            if blob is None:
                raise damaged(self._query.path, f"{what} is missing")
            if not self.is_withheld(Kept(put[1], put[2], round_, place, index)):
                self._content(blob, put[1], what)
        rows = self._query.row("SELECT count(*) FROM contents")
        if rows is None or rows[0] != named:
            raise damaged(self._query.path, "it holds contents that nobody put", expected=named, actual=rows)

    def _hash(self, value: object) -> str:
        if not isinstance(value, bytes):
            raise damaged(self._query.path, "the hash of a content is not bytes", actual=value)
        return value.hex()

    def _content(self, blob: object, expected: str, what: str) -> bytes:
        if type(blob) is not int:
            raise damaged(self._query.path, f"{what} is not named by a blob's number", actual=blob)
        content, content_hash = self._query.decoder.blobs.hashed(blob)
        if content_hash != expected:
            raise damaged(self._query.path, f"{what} is another", expected=expected, actual=content_hash)
        return content
