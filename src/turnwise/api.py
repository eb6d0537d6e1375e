"""The functions that people call: thin, and the same that the command line uses."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from turnwise import world as worlds
from turnwise.demo import model_folder
from turnwise.errors import Problem, UsageError, WorldError
from turnwise.history.replay import OnProgress, Replay
from turnwise.history.replay import replay as replay_journal
from turnwise.journal import Journal
from turnwise.journal.run import Run
from turnwise.orchestrator import assembly
from turnwise.orchestrator.live import Live
from turnwise.orchestrator.python_sources import python_problems
from turnwise.orchestrator.settings import Settings
from turnwise.orchestrator.tasks import wrong_tasks
from turnwise.sandbox.build.code import CodeError, prepare_each
from turnwise.sandbox.python import component_info
from turnwise.sharedmem import Transport
from turnwise.world import Overrides
from turnwise.world.meaning.reachability import unreachable

StrPath = str | os.PathLike[str]
JOURNALS_FOLDER = "runs"
"""Where journals go that nobody has named, below the current folder."""


class World(worlds.World):
    """A world, read from a file (`World.read`) or built in Python, that can be run."""

    def start(
        self, *, workers: int | None = None, journal: StrPath | None = None, transport: Transport = "auto"
    ) -> Live:
        """Start a live run. Its journal is a new file."""
        return start(self, workers=workers, journal=journal, transport=transport)


def start(
    world: worlds.World | StrPath,
    *,
    seed: int | None = None,
    workers: int | None = None,
    schedule: str | None = None,
    rounds: int | None = None,
    models: Mapping[str, StrPath] | None = None,
    overrides: Sequence[str] = (),
    journal: StrPath | None = None,
    transport: Transport = "auto",
) -> Live:
    """Start a run of a world (a `World`, its folder, or its world.toml), to be driven by the caller.

    `seed`, `schedule`, `rounds` (the bound `rounds_max`), `models` (folders by name) and `overrides` (`KEY.PATH=VALUE`)
    replace what the world says; `workers` and `transport` change nothing that a run computes. `journal` names a file
    that does not exist yet; without it, one is named after the world below `runs/`. Raises `WorldError` with all that
    is wrong.
    """
    settings = Settings(workers=workers, transport=transport)
    changes = Overrides(settings=overrides, seed=seed, schedule=schedule, rounds=rounds, models=models or {})
    chosen = _world(world, changes)
    path = Path(journal) if journal is not None else _unused_journal(chosen)
    return Live(path, partial(assembly.begin, chosen, path, settings))


def run(
    world: worlds.World | StrPath,
    *,
    seed: int | None = None,
    workers: int | None = None,
    schedule: str | None = None,
    rounds: int | None = None,
    models: Mapping[str, StrPath] | None = None,
    overrides: Sequence[str] = (),
    journal: StrPath | None = None,
    transport: Transport = "auto",
) -> Run:
    """Run a world to its end; see `start` for the arguments. Raises `TurnwiseError` if it cannot be run to its end."""
    with start(
        world,
        seed=seed,
        workers=workers,
        schedule=schedule,
        rounds=rounds,
        models=models,
        overrides=overrides,
        journal=journal,
        transport=transport,
    ) as live:
        return live.result()


def open(journal: StrPath) -> Run:  # noqa: A001 - turnwise.open, like gzip.open
    """Open a journal for reading. Raises `JournalError` for what is not one."""
    return Run.open(journal)


def resume(
    journal: StrPath,
    *,
    workers: int | None = None,
    models: Mapping[str, StrPath] | None = None,
    transport: Transport = "auto",
) -> Live:
    """Go on with a run that was stopped or has crashed, from its last committed round.

    `models` gives folders by name where models have moved; their content must be what the run used. Raises `UsageError`
    for a run that has ended.
    """
    path = Path(journal)
    with Journal.open(path) as file:
        end = file.rounds.end_record
    if end is not None:
        raise UsageError(
            f"the run has ended already: {end.reason}",
            where=str(path),
            hint="turnwise log shows what happened; turnwise run starts another.",
        )
    places = {name: model_folder(folder).absolute() for name, folder in (models or {}).items()}
    settings = Settings(workers=workers, transport=transport, models=places)
    return Live(path, partial(assembly.resume, path, settings))


def replay(
    journal: StrPath,
    *,
    workers: int | None = None,
    transport: Transport = "auto",
    progress: OnProgress | None = None,
) -> Replay:
    """Execute all turns of a journal again with the effects that were recorded, and compare."""
    return replay_journal(Path(journal), Settings(workers=workers, transport=transport), progress)


def check(world: worlds.World | StrPath, overrides: Overrides | None = None) -> list[Problem]:
    """Find everything that is wrong with a world without running it; sources are compiled. Empty if it is well.

    Warnings (`Problem.is_warning`) come last; a world that has nothing worse can be run.
    """
    try:
        checked = _world(world, overrides or Overrides())
        resolved = checked.resolve()
    except WorldError as error:
        return list(error.problems)
    found = asyncio.run(prepare_each(list(assembly.sources_of(resolved).values())))
    codes = [error for error in found if isinstance(error, CodeError)]
    problems = wrong_tasks(checked) + [Problem(error.where or "", error.message, error.hint or "") for error in codes]
    return problems + python_problems(resolved, component_info().modules) + unreachable(resolved)


def _world(world: worlds.World | StrPath, changes: Overrides) -> worlds.World:
    if isinstance(world, worlds.World):
        return world if changes == Overrides() else world.override(changes)
    return World.read(world, changes)


def _unused_journal(world: worlds.World) -> Path:
    """`runs/<world>-<seed>.journal`, or with the first number behind it that is free."""
    folder = Path(JOURNALS_FOLDER)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"no journal can be put there: {error.strerror}",
            where=JOURNALS_FOLDER,
            hint="Name a place for it: --journal FILE, or journal=… in Python",
        ) from error
    resolved = world.resolve()
    stem = f"{''.join(c if c.isalnum() or c in '-_.' else '-' for c in resolved.name)}-{resolved.seed}"
    path = folder / f"{stem}.journal"
    number = 1
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}.journal"
    return path
