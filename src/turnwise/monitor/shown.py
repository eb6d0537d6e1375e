"""The runs that a monitor shows: one journal or bundle, or all that lie in a folder."""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from turnwise.errors import UsageError
from turnwise.monitor.reader import RunReader

ENDINGS: Final = (".journal", ".bundle")
FILES_MAX: Final = 10_000
"""Files of a folder that are listed at most; the page says if there are more."""
FOLDERS_MAX: Final = 1_000
OPEN_MAX: Final = 16
"""Runs that are kept open at once."""
SETTLED_US: Final = 2_000_000
"""Age of a file's last write from which its time tells it from every later one: the coarsest clock of a file system."""


@dataclass(frozen=True, slots=True)
class ShownFile:
    """A file that may be a run."""

    name: str
    """Path below the folder, with `/`; the name of the run on the page."""
    path: Path
    """Path of the file."""
    changed_us: int
    """Time of its last write, the log beside it included, microseconds since 1970-01-01 UTC."""


class FileWatch:
    """True if a file was written since it was read: once too often where its time cannot tell, never once too few."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen_us = -1

    def due(self) -> bool:
        """True if the file is to be read now. Ask before reading: what is written meanwhile makes it due again."""
        now_us, changed = time.time_ns() // 1_000, changed_us(self._path)
        if changed == self._seen_us:
            return False
        self._seen_us = changed if settled(changed, now_us) else -1
        return True

    def forget(self) -> None:
        """Make the file due: it could not be read."""
        self._seen_us = -1


class ShownRuns:
    """Runs by name. AgentNames are those that were found in the folder: no other file can be asked for."""

    def __init__(self, place: Path, parents: Sequence[Path] = ()) -> None:
        """Take a file or a folder; raises UsageError if it is not there.

        `parents` are files, and folders, to look for the runs in that forks refer to, if they are not where they were.
        """
        if not place.exists():
            hint = "Name a journal, a bundle, or a folder of them. turnwise run puts journals into runs/."
            raise UsageError("there is no such file or folder", where=str(place), hint=hint)
        self.place = place
        self.parents = tuple(parents)
        self.single = place.name if not place.is_dir() else None
        self._open: OrderedDict[str, RunReader] = OrderedDict()

    def files(self) -> tuple[list[ShownFile], bool]:
        """Return the files, the latest written first, and whether there are more than are listed."""
        found: list[ShownFile] = []
        for path in self._paths():
            if len(found) == FILES_MAX:
                return _latest_first(found), True
            name = path.name if self.single else path.relative_to(self.place).as_posix()
            found.append(ShownFile(name, path, changed_us(path)))
        return _latest_first(found), False

    def reader(self, name: str) -> RunReader:
        """Return the reader of a run; raises UsageError for a name that is not among the files."""
        if name in self._open:
            self._open.move_to_end(name)
            return self._open[name]
        path = self._path(name)
        reader = RunReader(path, self.parents)
        self._open[name] = reader
        while len(self._open) > OPEN_MAX:
            self._open.popitem(last=False)[1].close()
        return reader

    def close(self) -> None:
        """Close all runs."""
        for reader in self._open.values():
            reader.close()
        self._open.clear()

    def _path(self, name: str) -> Path:
        path = self.place if self.single == name else self.place / name
        parts = Path(name).parts
        inside = self.single == name or (
            self.single is None
            and name.endswith(ENDINGS)
            and not Path(name).is_absolute()
            and ".." not in parts
            and path.is_file()
            and path.resolve().is_relative_to(self.place.resolve())
        )
        if not inside:
            raise UsageError("there is no such run", where=name, hint="The list of runs has those that are there.")
        return path

    def _paths(self) -> Iterator[Path]:
        if self.single is not None:
            yield self.place
            return
        for count, (folder, folders, files) in enumerate(os.walk(self.place)):
            if count == FOLDERS_MAX:
                return
            folders.sort()
            for file in files:
                if file.endswith(ENDINGS):
                    yield Path(folder) / file


def changed_us(path: Path) -> int:
    """Time of the last write to a file or the log beside it; 0 if it has just gone."""
    times = [0]
    for file in (path, path.with_name(f"{path.name}-wal")):
        try:
            times.append(file.stat().st_mtime_ns // 1_000)
        except OSError:
            continue
    return max(times)


def settled(changed_us: int, now_us: int) -> bool:
    """True if every write after `now_us` gives a file another time than `changed_us`. Times: microseconds since 1970.

    Clocks of file systems are coarse (a tick of the kernel, two seconds on FAT): of two writes within one of their
    steps the second leaves the time that the first has set.
    """
    return now_us - changed_us > SETTLED_US


def _latest_first(files: list[ShownFile]) -> list[ShownFile]:
    return sorted(files, key=lambda file: (-file.changed_us, file.name))
