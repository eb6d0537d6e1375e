"""Names of answers: a digest of the request, and how often it came. No chance, so that tests can compare them."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import Final

REMEMBERED_MAX: Final = 4_096


class AnswerNames:
    """Give each answer of a server a name of its own."""

    def __init__(self) -> None:
        self._counts: OrderedDict[bytes, int] = OrderedDict()
        self._forgotten = 0

    def name(self, body: bytes) -> str:
        """Name the answer to a request that has this body. Two answers of one server have different names."""
        digest = blake2b(body, digest_size=12).digest()
        count = self._counts.pop(digest, self._forgotten)
        self._counts[digest] = count + 1
        if len(self._counts) > REMEMBERED_MAX:
            # Who is forgotten goes on counting from the highest count that was: no name comes twice.
            self._forgotten = max(self._forgotten, self._counts.popitem(last=False)[1])
        return digest.hex() if count == 0 else f"{digest.hex()}{count:x}"
