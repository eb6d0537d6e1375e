"""Contents that a run has put: each once in memory, by its hash, and otherwise in the journal."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable

from turnwise.core.contents import Kept, Piece, Reply
from turnwise.errors import InvariantError


class Contents:
    """Contents by hash. `load` reads one of an earlier part of the run, which is not in memory."""

    def __init__(self, load: Callable[[Kept], bytes] | None = None) -> None:
        self.load = load
        self._contents: dict[str, bytes] = {}

    def keep(self, kept: Kept, content: bytes) -> None:
        """Keep a content. One that is there already is kept once."""
        self._contents.setdefault(kept.sha256, content)

    def view(self, kept: Kept) -> memoryview:
        """A content, not copied. Raises JournalError where the journal that holds it is damaged."""
        content = self._contents.get(kept.sha256)
        if content is None:
            if self.load is None:
                raise InvariantError("a content that nobody has kept", actual=kept)
            content = self._contents[kept.sha256] = self.load(kept)
        return memoryview(content)

    def filled(self, reply: Reply) -> bytes:
        """A reply as an agent gets it, its contents in base64."""
        if isinstance(reply, str):
            return reply.encode()
        return b"".join([self._base64(part) if isinstance(part, Piece) else part.encode() for part in reply])

    def _base64(self, piece: Piece) -> bytes:
        return b64encode(self.view(piece.kept)[piece.start : piece.start + piece.length])

    @property
    def bytes(self) -> int:
        """Bytes of all contents that are in memory."""
        return sum(map(len, self._contents.values()))
