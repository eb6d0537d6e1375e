"""Contents that a run has put: each once in memory, by its hash, and otherwise in the journal.

Large ones lie in memory files of their own (on Linux), which a process that computes with them maps: whoever holds a
content and whoever is given it share its pages.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

from turnwise.core.contents import Content, Kept, Piece, Reply
from turnwise.errors import InvariantError
from turnwise.sandbox.execute.replies import HandedReply, as_text
from turnwise.sandbox.pool.messages import CONTENT_FILE_BYTES_MIN

if sys.platform == "linux":
    from turnwise.sharedmem.memory_file import SealedFile

    Stored = bytes | SealedFile
else:
    Stored = bytes

FILE_BYTES_MIN: Final = CONTENT_FILE_BYTES_MIN
"""Size from which on a content has a file of its own; one that takes no more goes by a message as it is."""


class Contents:
    """Contents by hash. `load` reads one of an earlier part of the run, which is not in memory."""

    def __init__(self, load: Callable[[Kept], bytes] | None = None) -> None:
        self.load = load
        self._contents: dict[str, Stored] = {}

    def keep(self, kept: Kept, content: Content) -> None:
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

    def handed(self, reply: Reply) -> HandedReply:
        """A reply as it is handed to a sandbox, its contents not copied."""
        if isinstance(reply, str):
            return reply.encode()
        return tuple([self._piece(part) if isinstance(part, Piece) else part.encode() for part in reply])

    def filled(self, reply: Reply) -> bytes:
        """A reply as JSON text, its contents in base64."""
        return as_text(self.handed(reply))

    def _piece(self, piece: Piece) -> memoryview:
        return self.view(piece.kept)[piece.start : piece.start + piece.length]

    @property
    def bytes(self) -> int:
        """Bytes of all contents that are in memory."""
        return sum(map(len, self._contents.values()))


def _stored(content: Content) -> Stored:
    """The content as it is kept: in a file of its own, if it is large and the machine has one for it."""
    if sys.platform == "linux" and len(content) >= FILE_BYTES_MIN:
        if isinstance(content, memoryview) and isinstance(content.obj, SealedFile) and len(content.obj) == len(content):
            return content.obj  # the file in which it came
        try:
            return SealedFile(content)
        except OSError:  # no descriptor or no memory is left: bytes do as well
            pass
    return bytes(content)
