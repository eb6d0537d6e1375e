"""The packages that came with a program, as `importlib.metadata` finds them: by what they say of themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution
from os import PathLike
from pathlib import PurePosixPath

_FOLDER = re.compile(r"([^/]+)-[^-/]+\.dist-info/METADATA")


class ProgramDistribution(Distribution):
    """A package whose files are texts of the program."""

    def __init__(self, folder: str, texts: Mapping[str, str]) -> None:
        self._folder = folder
        self._texts = texts

    def read_text(self, filename: str | PathLike[str]) -> str | None:
        """Return a file of the package's own description; None if there is none."""
        return self._texts.get(f"{self._folder}/{filename}")

    def locate_file(self, path: str | PathLike[str]) -> PurePosixPath:  # type: ignore[override]  # no file system
        """Return the name of a file in the program."""
        return PurePosixPath(path)


def distributions(texts: Mapping[str, str], name: str | None) -> Iterator[Distribution]:
    """Yield the packages among a program's files: all, or those with a name."""
    for file in texts:
        found = _FOLDER.fullmatch(file)
        if found is not None and (name is None or _plain(found[1]) == _plain(name)):
            yield ProgramDistribution(file.removesuffix("/METADATA"), texts)


def _plain(name: str) -> str:
    """Return a package's name in the one form in which names are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()
