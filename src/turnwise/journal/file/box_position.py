"""A place in the file that brings messages and answers into a run, up to which they are in its rounds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BoxPosition:
    """The place up to which a file has been read."""

    box: str
    """Name of the file, which stands in its first line."""
    position: int
    """Bytes from its beginning."""
