"""Runs of worlds, and those that go on from others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from turnwise import world as worlds
from turnwise.api.places import places
from turnwise.core.canonical import canonical
from turnwise.errors import UsageError
from turnwise.journal import Journal
from turnwise.journal.run import Run
from turnwise.orchestrator import assembly
from turnwise.orchestrator.fork import fork as fork_journal
from turnwise.orchestrator.fork_changes import ForkChanges
from turnwise.orchestrator.forked_calls import ToolMode, tool_mode
from turnwise.orchestrator.live import Live
from turnwise.orchestrator.run_options import (
    ResumeOptions,
    RunOptions,
    check_names,
    overrides_of,
    playing_of,
    settings_of,
)
from turnwise.system.paths import StrPath
from turnwise.world import Overrides

JOURNALS_FOLDER = "runs"
"""The folder below the current one for journals that nobody has named."""


class World(worlds.World):
    """A world, read from a file (`World.read`) or built in Python, that can be run."""

    def start(self, **options: Unpack[RunOptions]) -> Live:
        """Start a live run of it; see `turnwise.start`."""
        return start(self, **options)


def start(world: worlds.World | StrPath, **options: Unpack[RunOptions]) -> Live:
    """Start a run of a world (a `World`, its folder, or its world.toml), to be driven by the caller.

    The options are those of `RunOptions`. Raises `WorldError` with all that is wrong.
    """
    check_names("start", options, RunOptions)
    settings = settings_of(options)
    chosen = world_of(world, overrides_of(options))
    journal = options.get("journal")
    path = Path(journal) if journal is not None else unused_journal(chosen)
    return Live(path, partial(assembly.begin, chosen, path, settings), **playing_of(options))


def run(world: worlds.World | StrPath, **options: Unpack[RunOptions]) -> Run:
    """Run a world to its end, with the options of `start`. Raises `TurnwiseError` if it cannot be run to its end."""
    check_names("run", options, RunOptions)
    with start(world, **options) as live:
        return live.result()


def resume(journal: StrPath, *, parents: Sequence[StrPath] = (), **options: Unpack[ResumeOptions]) -> Live:
    """Go on with a run that was stopped or has crashed, from its last committed round.

    `parents` are as those of `open`. The other options are those of `ResumeOptions`. Raises `UsageError` for a run that
    has ended.
    """
    check_names("resume", options, ResumeOptions)
    settings = settings_of(options, models=True)
    path, found = Path(journal), places(parents)
    with Journal.open(path, parents=found) as file:
        end = file.rounds.end_record
    if end is not None:
        raise UsageError(
            f"the run has ended already: {end.reason}",
            where=str(path),
            hint="turnwise log shows what happened; turnwise run starts another.",
        )
    return Live(path, partial(assembly.resume, path, settings, parents=found), found, **playing_of(options))


def fork(
    run: Run | StrPath,
    at: int,
    *,
    messages: Mapping[str, str | Sequence[str]] | None = None,
    drop: Sequence[int] = (),
    states: Mapping[str, Any] | None = None,
    sources: Mapping[str, StrPath] | None = None,
    overrides: Sequence[str] = (),
    seed: int | None = None,
    stop: Sequence[str] = (),
    repeat_inputs: bool = True,
    answers: Mapping[int, Any] | None = None,
    tools: ToolMode = "recorded",
    journal: StrPath | None = None,
    parents: Sequence[StrPath] = (),
    **options: Unpack[ResumeOptions],
) -> Live:
    """Begin a new run that goes on from a run (or its journal) after round `at`, with something changed.

    `messages` (agent or group → body, or bodies) come from outside; `drop` are numbers of messages that nobody reads
    any more; `states` are states by agent, JSON values or texts as they are; `sources` are files by kind; `overrides`
    are `KEY.PATH=VALUE` of the world file; `stop` are agents that are stopped. A model in `models` with another content
    is a change, too. What came from outside in later rounds comes again in the same rounds, unless `repeat_inputs` is
    False; `answers` (number → value) answer questions that wait after that round otherwise. Calls of
    tools are answered as the parent's were (`tools` "recorded"), made ("live") or denied ("deny"). `parents` are as
    those of `open`. With no change, the fork has the head of the run, when it has come to its end.
    """
    check_names("fork", options, ResumeOptions)
    parent = run.path if isinstance(run, Run) else Path(run)
    changes = ForkChanges(
        messages=[(to, body) for to, of in (messages or {}).items() for body in ([of] if isinstance(of, str) else of)],
        drop=tuple(drop),
        states={name: of if isinstance(of, str) else canonical(of) for name, of in (states or {}).items()},
        sources={kind: Path(path) for kind, path in (sources or {}).items()},
        settings=tuple(overrides),
        seed=seed,
        stop=tuple(stop),
        repeat_inputs=repeat_inputs,
        answers=answers or {},
    )
    path = Path(journal) if journal is not None else _beside(parent, at)
    found = [*(run.parents if isinstance(run, Run) else ()), *places(parents)]
    settings = replace(settings_of(options, models=True), tools=tool_mode(tools))
    begin = partial(fork_journal, parent, at, changes, path, settings, parents=found)
    return Live(path, begin, [parent, *found], **playing_of(options))


def world_of(world: worlds.World | StrPath, changes: Overrides) -> worlds.World:
    if isinstance(world, worlds.World):
        return world if changes == Overrides() else world.override(changes)
    return World.read(world, changes)


def unused_journal(world: worlds.World) -> Path:
    """`runs/<world>-<seed>.journal`, or with the first number behind it that is free."""
    folder = Path(JOURNALS_FOLDER)
    resolved = world.resolve()
    stem = f"{''.join(c if c.isalnum() or c in '-_.' else '-' for c in resolved.name)}-{resolved.seed}"
    try:
        folder.mkdir(exist_ok=True)
        path, number = folder / f"{stem}.journal", 1
        while path.exists():
            number += 1
            path = folder / f"{stem}-{number}.journal"
    except OSError as error:
        raise UsageError(
            f"no journal can be put there: {error.strerror}",
            where=JOURNALS_FOLDER,
            hint="Name a place for it: --journal FILE, or journal=… in Python",
        ) from error
    return path


def _beside(parent: Path, at: int) -> Path:
    """The first free name for a fork, in the folder of its parent."""
    number = 0
    while True:
        number += 1
        path = parent.with_name(f"{parent.stem}-fork-{at}{'' if number == 1 else f'-{number}'}{parent.suffix}")
        if not path.exists():
            return path
