"""Plays the runs of a sweep, several at once on shared parts, and takes up those that a folder of journals has.

A run that fails is a row. What ends the sweep is what every run would meet: a journal of another run in the folder, or
workers or an inference process that cannot be kept alive.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Final

from turnwise.core.canonical import canonical
from turnwise.core.tool_plan import ToolServerPlan
from turnwise.errors import EnvironmentFailure, InvariantError, TurnwiseError, UsageError
from turnwise.journal import Journal
from turnwise.journal.run import Run
from turnwise.orchestrator.assembly import checked, new_run, plan_of
from turnwise.orchestrator.loop_thread import run_alone
from turnwise.orchestrator.model_hosts import Spec
from turnwise.orchestrator.parts import continued
from turnwise.orchestrator.progress import Status
from turnwise.orchestrator.reproducibility import changed
from turnwise.orchestrator.session import Session
from turnwise.orchestrator.settings import Settings
from turnwise.orchestrator.shared_parts import SharedParts
from turnwise.orchestrator.tool_servers import NotedTools, pinned, servers_of
from turnwise.orchestrator.writer_notes import info_of, versions_of
from turnwise.sweeps.moves import VariableMove, moves_of
from turnwise.sweeps.row import SweptRun, row_of
from turnwise.sweeps.variables import Settings as Combination
from turnwise.tools.desk import ToolDesk
from turnwise.world import Resolved, SourceFiles, World

JOBS_MAX: Final = 64
"""Runs at once: each has a journal, with its files and a thread."""

STARTS_MAX: Final = 3
"""Starts of shared parts in a row between which no run came to its end."""

NEWS_S_MAX: Final = 1.0
"""Seconds between two looks whether a run waits for tools still."""

OnProgress = Callable[[int, int], None]
"""Told (runs done, runs in all)."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep that was played."""

    runs: tuple[SweptRun, ...]
    """Its runs: the combinations in order, and the seeds of each."""
    notices: tuple[str, ...]
    """Lines that a person should read."""

    @property
    def moves(self) -> list[VariableMove]:
        """Effects of all variables on all numbers."""
        return moves_of(self.runs)


class OtherRun(UsageError):
    """A journal in the folder that is of another run than the sweep's."""


@dataclass(frozen=True, slots=True)
class _Task:
    place: int
    settings: Mapping[str, str]
    resolved: Resolved
    specs: list[Spec]


def sweep(
    worlds: Sequence[tuple[Combination, World]],
    seeds: Sequence[int],
    settings: Settings,
    *,
    journals: Path | None = None,
    jobs: int | None = None,
    progress: OnProgress | None = None,
) -> Sweep:
    """Play each world with each seed. `journals` is a folder, made if need be; None keeps no journals.

    `jobs` is how many runs are played at once (default: twice the workers).
    """
    if jobs is not None and not (type(jobs) is int and 1 <= jobs <= JOBS_MAX):
        raise UsageError(
            f"there cannot be {jobs!r} runs at once", where="--jobs", actual=jobs, hint=f"Give 1 to {JOBS_MAX}."
        )
    tasks = list(_tasks(worlds, seeds))
    at_once = jobs or min(JOBS_MAX, 2 * settings.workers_count)
    told = progress or _silent
    if journals is not None:
        try:
            journals.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"no journals can be put there: {error.strerror}", where=str(journals), hint="Name another folder."
            ) from error
        return run_alone(_Player(tasks, settings, journals, at_once, told, keep=True).play())
    with tempfile.TemporaryDirectory(prefix="turnwise-sweep-") as folder:
        return run_alone(_Player(tasks, settings, Path(folder), at_once, told, keep=False).play())


def journal_name(settings: Mapping[str, str], seed: int) -> str:
    """Return the name of a run's journal: the same in every sweep of a folder."""
    values = f"-{sha256(canonical(dict(settings)).encode()).hexdigest()[:12]}" if settings else ""
    return f"seed-{seed}{values}.journal"


def _tasks(worlds: Sequence[tuple[Combination, World]], seeds: Sequence[int]) -> Iterator[_Task]:
    place = 0
    for combination, world in worlds:
        resolved, specs = checked(world)
        for seed in seeds:
            yield _Task(place, dict(combination), replace(resolved, seed=seed), specs)
            place += 1


class _Player:
    """Plays tasks; `keep` says whether the journals in the folder stay."""

    def __init__(
        self, tasks: Sequence[_Task], settings: Settings, folder: Path, jobs: int, progress: OnProgress, *, keep: bool
    ) -> None:
        self._tasks = tasks
        self._settings = settings
        self._folder = folder
        self._jobs = jobs
        self._progress = progress
        self._keep = keep
        self._rows: dict[int, SweptRun] = {}
        self._status = Status()
        self._starts = 0
        self._turnstile = asyncio.Lock()
        self._parts: SharedParts | None = None
        self._opened = AsyncExitStack()

    async def play(self) -> Sweep:
        """Play all tasks: those with the same models one after the other on the same parts."""
        groups: dict[str, list[_Task]] = {}
        for task in self._tasks:
            groups.setdefault(info_of(task.specs), []).append(task)
        for group in groups.values():
            try:
                await self._play_group(group)
            finally:
                await self._close_parts()
        notices = tuple(dict.fromkeys(self._status.notices))
        return Sweep(tuple([self._rows[task.place] for task in self._tasks]), notices)

    async def _play_group(self, group: Sequence[_Task]) -> None:
        sources: dict[SourceFiles, str] = {}
        for task in group:
            for kind, files in task.resolved.sources.items():
                sources.setdefault(files, task.resolved.where("agents", kind, "source"))
        waiting = iter(group)

        async def player() -> None:
            for task in waiting:
                row = await self._row(task, sources)
                self._rows[task.place] = row
                self._progress(len(self._rows), len(self._tasks))

        players = [asyncio.ensure_future(player()) for _ in range(min(self._jobs, len(group)))]
        try:
            await asyncio.gather(*players)
        finally:
            for one in players:
                one.cancel()
            await asyncio.gather(*players, return_exceptions=True)

    async def _row(self, task: _Task, sources: Mapping[SourceFiles, str]) -> SweptRun:
        parts = await self._ready(sources, task.specs)
        name = journal_name(task.settings, task.resolved.seed)
        path, kept = self._folder / name, self._folder / name if self._keep else None
        try:
            await self._play_run(parts, task, path)
            with Run.open(path) as run:
                row = row_of(run, task.settings, kept)
        except (OtherRun, InvariantError):
            raise
        except TurnwiseError as error:
            return SweptRun(task.settings, task.resolved.seed, "error", str(error), journal=_if_there(kept))
        finally:
            if not self._keep:
                path.unlink(missing_ok=True)
        self._starts = 0
        return row

    async def _play_run(self, parts: SharedParts, task: _Task, path: Path) -> None:
        async with AsyncExitStack() as stack:
            session = await self._begin(stack, parts, task, path)
            if session is None:
                return
            stack.push_async_callback(session.close)
            while session.end is None:
                if session.waits and not session.questions():  # for tools
                    await session.wait_news(NEWS_S_MAX)
                    continue
                if session.waits:
                    asked = session.questions()[0]
                    raise UsageError(
                        f"{asked.agent} waits for an answer to question {asked.id}, and nobody answers in a sweep",
                        where=task.resolved.name,
                        hint="Ask with a deadline and a default, which is taken when the deadline has passed.",
                    )
                await session.round()
            await session.settle()

    async def _begin(self, stack: AsyncExitStack, parts: SharedParts, task: _Task, path: Path) -> Session | None:
        """Begin a run, or take it up from its journal; None if that has its end."""
        codes = {kind: parts.codes[files] for kind, files in task.resolved.sources.items()}
        async with AsyncExitStack() as opened:
            servers, park_after_ms = servers_of(task.resolved), task.resolved.park_after_ms
            desk = ToolDesk(servers) if servers else None
            tools: tuple[ToolServerPlan, ...] = ()
            if desk is not None:
                opened.push_async_callback(desk.close)
                tools = pinned(task.resolved, await desk.start())
            if not path.exists():
                machine, file = new_run(opened, path, task.resolved, task.specs, codes, parts.models, tools)
                return await parts.connect(opened, machine, file, desk, park_after_ms)
            with Journal.open(path) as reading:
                first, ended = reading.header.plans()[0][1], reading.rounds.end_record is not None
            if first != plan_of(task.resolved, codes, parts.models, tools):
                raise OtherRun(
                    "the folder has a journal under this name that is of another run",
                    where=str(path),
                    hint="The world, its sources or its models have changed since: name another folder.",
                )
            if ended:
                return None
            file = opened.enter_context(Journal.open(path, write=True))
            self._status.notices += changed(file, parts.models)
            info = info_of(task.specs, NotedTools(tuple(servers), park_after_ms))
            machine = continued(file, versions=versions_of(parts.models), info=info)
            return await parts.connect(opened, machine, file, desk, park_after_ms)

    async def _ready(self, sources: Mapping[SourceFiles, str], specs: Sequence[Spec]) -> SharedParts:
        """Return the shared parts; start them anew if they have given up."""
        async with self._turnstile:
            if self._parts is not None and self._parts.failure is None:
                return self._parts
            failure = None if self._parts is None else self._parts.failure
            if failure is not None and self._starts >= STARTS_MAX:
                raise EnvironmentFailure(
                    f"{self._starts} starts in a row ended before a run did: {failure.message}",
                    where=failure.where,
                    hint=failure.hint,
                )
            await self._close_parts()
            self._starts += 1
            self._parts = await SharedParts.open(self._opened, self._settings, self._status, sources, specs)
            return self._parts

    async def _close_parts(self) -> None:
        self._parts = None
        opened, self._opened = self._opened, AsyncExitStack()
        await opened.aclose()


def _if_there(path: Path | None) -> Path | None:
    return path if path is not None and path.exists() else None


def _silent(done: int, total: int) -> None:
    """Show nothing."""
