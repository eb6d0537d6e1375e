"""Files of one folder, by the names that somebody else gives."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

PATH_CHARS_MAX: Final = 1_024
"""Characters of a name."""

WORLDS_MAX: Final = 200
"""Worlds that are listed."""

LOOKED_AT_MAX: Final = 10_000
"""Folders that are looked at for worlds."""


class PathRefused(ValueError):
    """A name that leads to nothing that may be used; the text is for who gave it."""


class ListedFolder:
    """A folder whose files may be named, and none outside of it: neither by `..` nor by links."""

    def __init__(self, root: Path) -> None:
        """`root` is a folder that is there."""
        self.root = Path(os.path.realpath(root))

    def existing(self, name: str) -> str:
        """Return the relative path of a file or folder that is there. Raises `PathRefused`."""
        path = self._inside(name)
        if not path.exists():
            raise PathRefused(f"{name!r} is not there. What is: the tool list.")
        return self._relative(path)

    def new(self, name: str, suffix: str) -> str:
        """Return the relative path of a file that is not there yet. Raises `PathRefused`."""
        path = self._inside(name)
        if path.suffix != suffix:
            raise PathRefused(f"{name!r} does not end in {suffix}")
        if os.path.lexists(path):
            raise PathRefused(f"{name!r} is there already")
        if not path.parent.is_dir():
            raise PathRefused(f"the folder of {name!r} is not there")
        return self._relative(path)

    def worlds(self) -> list[str]:
        """Return the relative paths of folders with a world.toml, in order, as many as are listed."""
        found: list[str] = []
        for looked, (place, folders, files) in enumerate(os.walk(self.root), 1):  # which follows no links
            folders[:] = sorted([name for name in folders if not name.startswith(".")])
            if "world.toml" in files:
                found.append(os.path.relpath(place, self.root))
            if len(found) >= WORLDS_MAX or looked >= LOOKED_AT_MAX:
                break
        return found

    def without_root(self, text: str) -> str:
        """Return a text in which the folder's own path is left out."""
        return text.replace(f"{self.root}{os.sep}", "").replace(str(self.root), ".")

    def _inside(self, name: str) -> Path:
        if len(name) > PATH_CHARS_MAX or not name.isprintable() or not name:
            raise PathRefused(f"a name has 1 to {PATH_CHARS_MAX:,} characters that can be printed")
        if Path(name).is_absolute() or ".." in Path(name).parts or "\\" in name:
            raise PathRefused(f"{name!r} is no path inside of the folder: give it relative, without ..")
        path = Path(os.path.realpath(self.root / name))
        if path != self.root and self.root not in path.parents:
            raise PathRefused(f"{name!r} leads out of the folder")
        return path

    def _relative(self, path: Path) -> str:
        """Path relative to the folder, in a form that is no option of a command."""
        return f".{os.sep}{path.relative_to(self.root)}"
