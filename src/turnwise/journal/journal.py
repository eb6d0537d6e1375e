"""A journal: one SQLite file that holds a run, and the right to write it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from turnwise.core.records import AgentRecord
from turnwise.errors import EnvironmentFailure, InvariantError, TurnwiseError
from turnwise.journal.file import connection as connections
from turnwise.journal.file.code_source import CodeSource
from turnwise.journal.file.errors import reading as reading_of
from turnwise.journal.file.lineage import DEPTH_MAX, fork_point, parent_of, parent_path, points
from turnwise.journal.file.lock import WriterLock, announced, lock_path, was_left
from turnwise.journal.file.parent import Parent
from turnwise.journal.read.ahead import AheadReader
from turnwise.journal.read.amounts import AmountReader
from turnwise.journal.read.chains import ChainReader
from turnwise.journal.read.check import check
from turnwise.journal.read.contents import ContentReader
from turnwise.journal.read.grid import GridReader
from turnwise.journal.read.header import HeaderReader
from turnwise.journal.read.machine import MachineReader
from turnwise.journal.read.queries import QueryReader
from turnwise.journal.read.query import Query
from turnwise.journal.read.rounds import RoundReader
from turnwise.journal.read.snapshots import SnapshotReader
from turnwise.journal.read.timings import TimingReader
from turnwise.journal.read.world import WorldReader
from turnwise.journal.write.beginning import Coming, write_beginning, write_fork
from turnwise.journal.write.rounds import RoundWriter
from turnwise.system.clock import SYSTEM_CLOCK, Clock
from turnwise.system.paths import StrPath


class Journal:
    """The file of one run, open for reading or for reading and writing. A context manager; closes twice without harm.

    `header` reads the plan, the writers and the codes; `rounds` the rounds and how the run ended; `queries` answers
    questions across rounds; `chains` checks what is read; `contents` has the bytes that agents put; `timings` has
    times by the clock; `ahead` has what is known of effects before their rounds; `grid` sums turns, messages and
    records for pictures, `amounts` has what no column of turns holds; `world` tells where agents stood after a round,
    and `machine` brings the core there, with the help of `snapshots`. `writer` commits, where the journal is open for
    writing. `parents` are the places in which what a fork goes on from was to be looked for. One thread may read while
    another commits: each has its own connection.
    """

    def __init__(
        self,
        path: Path,
        *,
        reading: sqlite3.Connection,
        writing: sqlite3.Connection | None = None,
        lock: WriterLock | None = None,
        clock: Clock = SYSTEM_CLOCK,
        parents: Sequence[Path] = (),
    ) -> None:
        """Use `create` or `open`; this takes connections that are there, to a journal that may be no file."""
        self.path = path
        self.parents = tuple(parents)
        self._query = Query(reading, path)
        self.header = HeaderReader(self._query)
        self.rounds = RoundReader(self._query)
        self.queries = QueryReader(self._query, self.rounds)
        self.timings = TimingReader(self._query)
        self.grid = GridReader(self._query)
        self.amounts = AmountReader(self._query, self.timings)
        self.chains = ChainReader(self._query, self.header, self.rounds, self.queries)
        self.snapshots = SnapshotReader(self._query)
        self.contents = ContentReader(self._query)
        self.ahead = AheadReader(self._query)
        self.machine = MachineReader(self._query, self.header, self.rounds, self.chains, self.snapshots, self.contents)
        self.world = WorldReader(self._query, self.rounds, self.queries, self.snapshots)
        self._reading = reading
        self._writing = writing
        self._writer = None if writing is None else RoundWriter(writing, path, clock)
        self._lock = lock
        self._closed = False

    @classmethod
    def create(
        cls,
        path: StrPath,
        *,
        plan: str,
        info: str,
        versions: str,
        codes: Mapping[str, CodeSource],
        agents: Sequence[AgentRecord],
    ) -> Self:
        """Begin a journal in a new file, which is complete and on disk, or not there, when this returns.

        `plan` is the plan's canonical JSON text; `info` (paths, providers) and `versions` are JSON texts that no head
        covers; `codes` maps the plan's code hashes to their sources; `agents` are those of the world file.
        """

        def write(file: Path) -> None:
            write_beginning(file, plan, info, versions, codes, agents)

        return cls._create(connections.located(path), write)

    @classmethod
    def create_fork(
        cls,
        path: StrPath,
        *,
        parent: Parent,
        info: str,
        versions: str,
        codes: Mapping[str, CodeSource],
        coming: Mapping[int, Sequence[Coming]],
        depth: int = 1,
        moved: Sequence[Path] = (),
    ) -> Self:
        """Begin the journal of a fork in a new file, as `create` does.

        `codes` are those that its parent does not have; `coming` is what comes from outside, by the round that begins
        with it. `depth` counts its ancestors: from `DEPTH_MAX` on, the fork is made whole at once.
        """

        def write(file: Path) -> None:
            write_fork(file, parent, info, versions, codes, coming)
            if depth > DEPTH_MAX:
                connections.detach(file, moved)

        return cls._create(connections.located(path), write, moved)

    @classmethod
    def _create(cls, file: Path, write: Callable[[Path], None], moved: Sequence[Path] = ()) -> Self:
        lock = WriterLock(file)
        try:
            connections.create_file(file)
            try:
                write(file)
                return cls._open(file, lock, moved)
            except BaseException as error:
                for ending in ("", *connections.LEFT_BESIDE):
                    file.with_name(file.name + ending).unlink(missing_ok=True)
                if isinstance(error, EnvironmentFailure):  # there is nothing left to go on with
                    error.hint = (
                        "Look at the disk and at limits (df, ulimit -f, ulimit -n), then run again. No file was left."
                    )
                raise
        except BaseException:
            lock.close()
            raise

    @classmethod
    def open(cls, path: StrPath, *, write: bool = False, parents: Sequence[Path] = ()) -> Self:
        """Open a journal of this or an older format. Whatever is not one is left as it is, byte for byte.

        `parents` are files, and folders, in which to look for what a fork goes on from, if that was moved.
        """
        file = connections.located(path)
        connections.look(file)
        if not write:
            return cls(file, reading=connections.open_reading(file, parents), parents=parents)
        connections.open_reading(file, parents).close()  # before a lock or a log is put beside what may be foreign
        lock = WriterLock(file)
        try:
            return cls._open(file, lock, parents)
        except BaseException:
            lock.close()
            raise

    @classmethod
    def _open(cls, file: Path, lock: WriterLock, parents: Sequence[Path] = ()) -> Self:
        writing = connections.open_writing(file)
        try:
            reading = connections.open_reading(file, parents)
            try:
                return cls(file, reading=reading, writing=writing, lock=lock, parents=parents)
            except BaseException:
                reading.close()
                raise
        except BaseException:
            connections.tidy(writing)
            writing.close()
            raise

    @classmethod
    def left_beside(cls, path: StrPath) -> tuple[str, ...]:
        """Return the names of the files that a writer which was killed has left beside a journal.

        They are read with it, and taken in by whoever writes it next, or by `tidy`. None while somebody writes it.
        """
        file = connections.located(path)
        return tuple(one.name for one in cls._beside(file)) if was_left(file) else ()

    @classmethod
    def tidy(cls, path: StrPath) -> tuple[str, ...]:
        """Take into a journal what a killed writer has left beside it; return the names of the files that are gone."""
        file = connections.located(path)
        left = cls._beside(file)
        if left:
            cls.open(path, write=True).close()
        return tuple(one.name for one in left if not one.exists())

    @staticmethod
    def _beside(file: Path) -> tuple[Path, ...]:
        endings = [ending for ending in connections.LEFT_BESIDE if ending != "-shm"]  # readers make that, too
        files = (lock_path(file), *(file.with_name(file.name + ending) for ending in endings))
        return tuple(one for one in files if one.exists())

    @classmethod
    def detach(cls, path: StrPath, *, parents: Sequence[Path] = ()) -> int:
        """Make a fork whole: copy into its file what it has of its ancestors. Returns how many these were."""
        file = connections.located(path)
        connections.look(file)
        connections.open_reading(file, parents).close()
        with closing(WriterLock(file)):
            connections.tidy_and_close(connections.open_writing(file))  # what a writer has left in its log
            return connections.detach(file, parents)

    def announce(self, address: str) -> None:
        """Tell those who read beside this writer where its telemetry is, until it closes. No part of the journal."""
        if self._lock is not None:
            self._lock.announce(address)

    @classmethod
    def announced(cls, path: StrPath) -> str | None:
        """Return the address that the writer of a journal announces; None if nobody writes it, or it says none.

        One that was killed may have left it.
        """
        return announced(connections.located(path))

    @classmethod
    def is_written(cls, path: StrPath) -> bool:
        """Return whether somebody has a journal open for writing, as far as a lock that is not left over says it."""
        file = connections.located(path)
        return lock_path(file).exists() and not was_left(file)

    @property
    def parent(self) -> Parent | None:
        """The run that this one was forked from; None if it is no fork, or was made whole."""
        with reading_of(self.path):
            return parent_of(self._reading, self.path)

    @property
    def parent_path(self) -> Path:
        """The file of the run that this one was forked from. Raises `JournalError` if it is no fork."""
        with reading_of(self.path):
            return parent_path(self._reading, self.path)

    @property
    def lineage(self) -> list[Parent]:
        """Points at which this run left the one that it was forked from, that its own, and so on; the latest first."""
        with reading_of(self.path):
            return points(self._reading)

    def fork_point(self, at: int, path: Path) -> tuple[Parent, int]:
        """Return what a fork in the file `path`, which leaves this run after round `at`, says of its parent.

        If the round lies in an ancestor, that is the parent. The second value counts the ancestors of the fork.
        """
        with reading_of(self.path):
            return fork_point(self._reading, self.path, self.chains.follow(at + 1).head, at, path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close. A writer leaves the one file, with no log beside it unless somebody is reading."""
        if self._closed:
            return
        self._closed = True
        self._reading.close()
        if self._writing is not None:
            if self._writer is not None:
                with suppress(TurnwiseError):  # the disk is full, say: all that matters is there
                    self._writer.keep_times()
            connections.tidy(self._writing)
            self._writing.close()
        if self._lock is not None:
            self._lock.close()

    @property
    def writer(self) -> RoundWriter:
        """The writer of this journal. Raises InvariantError if it is not open for writing."""
        if self._writer is None or self._closed:
            state = "closed" if self._closed else "open for reading only"
            raise InvariantError(f"the journal is {state}", where=str(self.path))
        return self._writer

    def check(self) -> int:
        """Read everything, and raise JournalError at the first thing that cannot be; else the number of rounds."""
        return check(self._query, self.rounds, self.queries, self.world, self.snapshots, self.ahead)
