"""Contents that a run has put: each once in memory, by its hash, and otherwise in the journal.

Large ones lie in memory files of their own (on Linux), which a process that computes with them maps: whoever holds a
content and whoever is given it share its pages.
"""

from __future__ import annotations

import sys
from base64 import b64encode
from collections.abc import Callable
from typing import Final

from turnwise.core.contents import Kept, Piece, Reply
from turnwise.errors import InvariantError

if sys.platform == "linux":
    from turnwise.sharedmem.memory_file import SealedFile

    Stored = bytes | SealedFile
else:
    Stored = bytes

FILE_BYTES_MIN: Final = 8 * 1024 * 1024
"""Size from which on a content has a file of its own; one that takes no more goes by a message as it is."""


class Contents:
    """Contents by hash. `load` reads one of an earlier part of the run, which is not in memory."""

    def __init__(self, load: Callable[[Kept], bytes] | None = None) -> None:
        self.load = load
        self._contents: dict[str, Stored] = {}

    def keep(self, kept: Kept, content: bytes) -> None:
        """Keep a content. One that is there already is kept once."""
        if kept.sha256 not in self._contents:
            self._contents[kept.sha256] = _stored(content)

    def close(self) -> None:
        """Let go of all contents. Twice is harmless."""
        contents, self._contents = self._contents, {}
        for content in contents.values():
            if not isinstance(content, bytes):
                content.close()

    def view(self, kept: Kept) -> memoryview:
        """A content, not copied. Raises JournalError where the journal that holds it is damaged."""
        content = self._contents.get(kept.sha256)
        if content is None:
            if self.load is None:
                raise InvariantError("a content that nobody has kept", actual=kept)
            content = self._contents[kept.sha256] = _stored(self.load(kept))
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


def _stored(content: bytes) -> Stored:
    """The content as it is kept: in a file of its own, if it is large and the machine has one for it."""
    if sys.platform == "linux" and len(content) >= FILE_BYTES_MIN:
        try:
            return SealedFile(content)
        except OSError:  # no descriptor or no memory is left: bytes do as well
            pass
    return content
