"""A message, as its receiver holds it."""

from __future__ import annotations

import contextlib
import mmap
import warnings
from types import TracebackType
from typing import Protocol


class Keeper(Protocol):
    """Takes back the slot of a message that was released."""

    def release(self, slot: int) -> None: ...


class LinkMessage:
    """A received message. `body` is a read-only view of it, valid until `release`; a context manager.

    The sender may be hostile and may still write to the memory: copy (`bytes(message.body)`) before checking, and
    check the copy. Do not keep slices or arrays of `body` beyond `release`: they would show whatever comes into the
    slot next. Make arrays with `numpy.asarray(body)`, which keeps the mapping; `numpy.frombuffer` does not, and using
    such an array after the peer is closed ends the process.
    """

    __slots__ = ("_keeper", "_mapping", "_slot", "body", "kind")

    def __init__(
        self, kind: int, body: memoryview, keeper: Keeper, slot: int, mapping: mmap.mmap | None = None
    ) -> None:
        self.kind = kind
        self.body = body
        self._keeper: Keeper | None = keeper
        self._slot = slot
        self._mapping = mapping

    def keep(self, file_bytes_min: int) -> bytes | memoryview:
        """Return the body for as long as it is needed, also beyond `release`.

        It is copied, unless it came in a file of its own that nobody can change, and has so many bytes: a file takes a
        descriptor for as long as it is held.
        """
        mapping = self._mapping
        if mapping is None or len(self.body) < file_bytes_min:
            return bytes(self.body)
        self._mapping = None
        return memoryview(mapping)

    def release(self) -> None:
        """Give the memory back. Using `body` afterwards is a ValueError. Twice is harmless."""
        keeper = self._keeper
        if keeper is None:
            return
        self.body.release()
        self._keeper = None
        if self._mapping is not None:
            with contextlib.suppress(BufferError):  # somebody kept a slice, and the mapping with it
                self._mapping.close()
            self._mapping = None
        keeper.release(self._slot)

    def __enter__(self) -> LinkMessage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def __del__(self) -> None:
        if getattr(self, "_keeper", None) is not None:
            warnings.warn(f"{self!r} was never released: its slot is lost", ResourceWarning, stacklevel=1, source=self)

    def __repr__(self) -> str:
        state = "released" if self._keeper is None else f"{len(self.body)} bytes"
        return f"<LinkMessage kind={self.kind} {state}>"
