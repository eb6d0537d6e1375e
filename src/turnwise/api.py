"""The functions that people call: thin, and the same that the command line uses."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from turnwise import world as worlds
from turnwise.core.canonical import canonical
from turnwise.errors import Problem, UsageError, WorldError
from turnwise.evidence.bundle import Bundled
from turnwise.evidence.bundle import bundle as make_bundle
from turnwise.evidence.verify import BundleVerification
from turnwise.evidence.verify import verify_bundle as verify_bundle_file
from turnwise.exports.export import export as export_journal
from turnwise.exports.sweep_table import check_table, write_sweep_table
from turnwise.history.diff import Diff
from turnwise.history.diff import diff as diff_journals
from turnwise.history.replay import OnProgress, Replay
from turnwise.history.replay import replay as replay_journal
from turnwise.history.verify import Verification
from turnwise.history.verify import verify as verify_journal
from turnwise.history.why import Cause
from turnwise.history.why import why as why_in_journal
from turnwise.journal import Journal
from turnwise.journal.run import Run
from turnwise.observing.beside import Beside
from turnwise.orchestrator import assembly
from turnwise.orchestrator.answering import leave_answer, leave_message
from turnwise.orchestrator.fork import fork as fork_journal
from turnwise.orchestrator.fork_changes import ForkChanges
from turnwise.orchestrator.forked_calls import ToolMode, tool_mode
from turnwise.orchestrator.javascript_sources import javascript_problems
from turnwise.orchestrator.known_tools import known_tools, unknown_grants
from turnwise.orchestrator.live import Live
from turnwise.orchestrator.loop_thread import run_alone
from turnwise.orchestrator.python_sources import python_problems
from turnwise.orchestrator.run_options import (
    ExecutionOptions,
    ResumeOptions,
    RunOptions,
    StrPath,
    SweepOptions,
    WorldOptions,
    check_names,
    overrides_of,
    playing_of,
    settings_of,
)
from turnwise.orchestrator.tasks import wrong_tasks
from turnwise.orchestrator.tool_servers import settings_problems
from turnwise.orchestrator.ungranted import ungranted
from turnwise.sandbox.build.code import CodeError, prepare_each
from turnwise.sandbox.python import module_info
from turnwise.sources.build import BuiltSource, build_source
from turnwise.sweeps.sweep import Sweep
from turnwise.sweeps.sweep import sweep as sweep_worlds
from turnwise.sweeps.variables import checked_seeds, combinations, written
from turnwise.world import Overrides
from turnwise.world.meaning.reachability import unreachable

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
    chosen = _world(world, overrides_of(options))
    journal = options.get("journal")
    path = Path(journal) if journal is not None else _unused_journal(chosen)
    return Live(path, partial(assembly.begin, chosen, path, settings), **playing_of(options))


def run(world: worlds.World | StrPath, **options: Unpack[RunOptions]) -> Run:
    """Run a world to its end, with the options of `start`. Raises `TurnwiseError` if it cannot be run to its end."""
    check_names("run", options, RunOptions)
    with start(world, **options) as live:
        return live.result()


def sweep(
    world: worlds.World | StrPath,
    *,
    seeds: Iterable[int],
    variables: Mapping[str, Sequence[Any]] | None = None,
    journals: StrPath | None = None,
    table: StrPath | None = None,
    jobs: int | None = None,
    progress: OnProgress | None = None,
    **options: Unpack[SweepOptions],
) -> Sweep:
    """Run a world with each seed and each combination of values, on one pool of workers and one inference process.

    `variables` maps keys of the world file (`agents.narrator.args.mood`) to the values that each is given. `journals`
    is a folder for the journals, from which runs are taken up that it has; `table` a new .csv or .parquet file with a
    row a run; `jobs` how many runs are played at once. A run that fails is a row, and does not end the sweep. Each head
    is that of `run` with the same seed and overrides.
    """
    check_names("sweep", options, SweepOptions)
    settings = settings_of(options)
    chosen, values = checked_seeds(seeds), written(variables or {})
    found = combinations(values, len(chosen))
    if table is not None:
        check_table(Path(table))
    changes = overrides_of(options)
    varied = []
    for combination in found:
        added = tuple([f"{key}={value}" for key, value in combination])
        varied.append((combination, _world(world, replace(changes, settings=(*changes.settings, *added)))))
    folder = None if journals is None else Path(journals)
    swept = sweep_worlds(varied, chosen, settings, journals=folder, jobs=jobs, progress=progress)
    if table is not None:
        write_sweep_table(swept.runs, Path(table))
    return swept


def open(journal: StrPath, *, parents: Sequence[StrPath] = ()) -> Run:  # noqa: A001 - turnwise.open, like gzip.open
    """Open a journal for reading. Raises `JournalError` for what is not one.

    `parents` are files, and folders, in which to look for what a fork goes on from, if that was moved.
    """
    return Run.open(journal, parents=_places(parents))


def resume(journal: StrPath, *, parents: Sequence[StrPath] = (), **options: Unpack[ResumeOptions]) -> Live:
    """Go on with a run that was stopped or has crashed, from its last committed round.

    `parents` are as those of `open`. The other options are those of `ResumeOptions`. Raises `UsageError` for a run that
    has ended.
    """
    check_names("resume", options, ResumeOptions)
    settings = settings_of(options, models=True)
    path, places = Path(journal), _places(parents)
    with Journal.open(path, parents=places) as file:
        end = file.rounds.end_record
    if end is not None:
        raise UsageError(
            f"the run has ended already: {end.reason}",
            where=str(path),
            hint="turnwise log shows what happened; turnwise run starts another.",
        )
    return Live(path, partial(assembly.resume, path, settings, parents=places), places, **playing_of(options))


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
    places = [*(run.parents if isinstance(run, Run) else ()), *_places(parents)]
    settings = replace(settings_of(options, models=True), tools=tool_mode(tools))
    begin = partial(fork_journal, parent, at, changes, path, settings, parents=places)
    return Live(path, begin, [parent, *places], **playing_of(options))


def answer(journal: StrPath, question: int, value: Any, *, parents: Sequence[StrPath] = ()) -> bool:
    """Answer a question of a run that another process plays, or that is stopped and goes on by `resume`.

    `value` is a JSON value, `question` the number; `Live.answer` is for a run of this process. Returns False if it has
    no effect, since the question was answered before or its turn is over. Raises `UsageError` for what is no answer.
    `parents` are as those of `open`.
    """
    return leave_answer(Path(journal), question, value, _places(parents))


def send(journal: StrPath, to: str, body: str, *, parents: Sequence[StrPath] = ()) -> None:
    """Send a message to an agent or a group of a run, in this process or another, going on or stopped.

    The message is on disk when this returns, and is read in the round that begins next, once. Raises `UsageError` for
    what cannot be a message, for nobody, and when the run has ended.
    """
    leave_message(Path(journal), to, body, _places(parents))


def observe(
    journal: StrPath,
    *,
    metrics: int | None = None,
    otlp: str | None = None,
    log: StrPath | None = None,
    from_start: bool = False,
    parents: Sequence[StrPath] = (),
) -> Beside:
    """Begin a process that tells operators of a run while it is played; it ends with the run, or with `close`.

    `metrics` is a port of 127.0.0.1 for Prometheus (0: a free one, see `address`), `otlp` the address of an
    OpenTelemetry collector, `log` a file to which lines of JSON are added. The journal may come later. With
    `from_start`, rounds that are there already are told of, too.
    """
    return Beside(
        journal, metrics=metrics, otlp=otlp, log=log, after=0 if from_start else None, parents=_places(parents)
    )


def detach(journal: StrPath, *, parents: Sequence[StrPath] = ()) -> int:
    """Make a fork whole: copy into its journal what it has of those that it goes on from. Returns how many they were.

    `parents` are files, and folders, in which to look for those that were moved. The head stays.
    """
    return Journal.detach(journal, parents=_places(parents))


def _places(parents: Sequence[StrPath]) -> list[Path]:
    """Paths of the places in which ancestors are looked for; one path alone is one place."""
    return [Path(place) for place in ([parents] if isinstance(parents, (str, os.PathLike)) else parents)]


def _beside(parent: Path, at: int) -> Path:
    """The first free name for a fork, in the folder of its parent."""
    number = 0
    while True:
        number += 1
        path = parent.with_name(f"{parent.stem}-fork-{at}{'' if number == 1 else f'-{number}'}{parent.suffix}")
        if not path.exists():
            return path


def replay(
    journal: StrPath,
    *,
    parents: Sequence[StrPath] = (),
    progress: OnProgress | None = None,
    **options: Unpack[ExecutionOptions],
) -> Replay:
    """Execute all turns of a journal again with the effects that were recorded, and compare.

    `parents` are as those of `open`.
    """
    check_names("replay", options, ExecutionOptions)
    return replay_journal(Path(journal), settings_of(options), progress, parents=_places(parents))


def verify(
    journal: StrPath,
    *,
    rounds: tuple[int, int | None] = (1, None),
    agent: str | None = None,
    tolerant: bool = False,
    parents: Sequence[StrPath] = (),
    progress: OnProgress | None = None,
    **options: Unpack[ResumeOptions],
) -> Verification:
    """Execute all turns of a journal again, ask its models again what they were asked, and compare.

    `rounds` are the first and the last, None for the end of the run; `agent` keeps the requests of one agent. A model
    that `models` names is asked even if it is not the recorded one. `tolerant`: recorded answers of language models
    have to be near what the models give here, which other machines can tell, too, and sooner. `parents` are as those of
    `open`.
    """
    check_names("verify", options, ResumeOptions)
    settings, places = settings_of(options, models=True), _places(parents)
    return verify_journal(
        Path(journal), settings, progress, rounds=rounds, agent=agent, tolerant=tolerant, parents=places
    )


def bundle(
    journal: StrPath,
    out: StrPath,
    *,
    with_models: bool = False,
    models: Mapping[str, StrPath] | None = None,
    sign: StrPath | None = None,
    parents: Sequence[StrPath] = (),
) -> Bundled:
    """Write a journal with everything that it takes to check it into one new file, for somebody else.

    `with_models` puts the files of its models into it; `models` says where they are, by name, if they are no longer
    where the run found them. `sign` is an Ed25519 private key in a PEM file. `parents` are as those of `open`.
    """
    folders = settings_of({"models": models}, models=True).models
    key = None if sign is None else Path(sign)
    places = _places(parents)
    return make_bundle(Path(journal), Path(out), with_models=with_models, models=dict(folders), key=key, parents=places)


def export(
    journal: StrPath,
    out: StrPath,
    to: str,
    *,
    tables: Sequence[str] = (),
    content: bool = False,
    parents: Sequence[StrPath] = (),
) -> list[Path]:
    """Write a run in a format of other programs: parquet, csv, jsonl, perfetto, inspect or otel; return the files.

    Tables go to a new folder, all of them or those that `tables` names. `content` puts texts into traces. `parents` are
    as those of `open`.
    """
    return export_journal(Path(journal), Path(out), to, tables=tables, content=content, parents=_places(parents))


def verify_bundle(
    path: StrPath,
    *,
    trust: Sequence[StrPath] = (),
    rounds: tuple[int, int | None] = (1, None),
    agent: str | None = None,
    tolerant: bool = False,
    progress: OnProgress | None = None,
    **options: Unpack[ResumeOptions],
) -> BundleVerification:
    """Compare everything in a bundle with its digests, then verify its run as `verify` does with a journal.

    `trust` are Ed25519 public keys in PEM files, one of which must have signed it. Raises `DifferenceFound` for a
    bundle that does not hold.
    """
    check_names("verify_bundle", options, ResumeOptions)
    settings = settings_of(options, models=True)
    keys = [Path(key) for key in trust]
    return verify_bundle_file(Path(path), settings, progress, trust=keys, rounds=rounds, agent=agent, tolerant=tolerant)


def diff(left: StrPath, right: StrPath, *, agent: str | None = None, parents: Sequence[StrPath] = ()) -> Diff:
    """Compare two journals turn by turn: the first difference, and what it reached.

    `agent` keeps one agent's turns. `parents` are as those of `open`, for both.
    """
    return diff_journals(Path(left), Path(right), agent, parents=_places(parents))


def why(
    journal: StrPath,
    agent: str | None = None,
    round: int | None = None,  # noqa: A002 - as it is called everywhere
    *,
    message: int | None = None,
    record: str | None = None,
    depth: int = 3,
    parents: Sequence[StrPath] = (),
) -> Cause:
    """Follow a turn, a value that it recorded, or a message back to what it came from; see `turnwise.history.why`.

    `parents` are as those of `open`.
    """
    places = _places(parents)
    return why_in_journal(Path(journal), agent, round, message=message, record=record, depth=depth, parents=places)


def build(
    agent: StrPath, *, requirements: StrPath | None = None, out: StrPath | None = None, fetch: bool = False
) -> BuiltSource:
    """Make one file of a Python agent and the packages that a requirements file asks for, which a `source` can name.

    `out` is its name (default: the agent's, with `.agent`). Packages are taken from this environment, or with `fetch`
    from where pip gets them. Raises `UsageError` for packages that cannot work in a sandbox, with the reason.
    """
    return build_source(
        Path(agent), None if requirements is None else Path(requirements), None if out is None else Path(out), get=fetch
    )


def check(world: worlds.World | StrPath, **options: Unpack[WorldOptions]) -> list[Problem]:
    """Find everything that is wrong with a world without running it; sources are compiled. Empty if it is well.

    Warnings (`Problem.is_warning`) come last; a world that has nothing worse can be run. The options are those of
    `WorldOptions`, as `start` would have them.
    """
    check_names("check", options, WorldOptions)
    try:
        checked = _world(world, overrides_of(options))
        resolved = checked.resolve()
    except WorldError as error:
        return list(error.problems)
    found = run_alone(prepare_each(list(assembly.sources_of(resolved).values())))
    codes = [error for error in found if isinstance(error, CodeError)]
    problems = [*wrong_tasks(checked), *settings_problems(checked.resolve())]
    problems += [Problem(error.where or "", error.message, error.hint or "") for error in codes]
    problems += python_problems(resolved, module_info().modules) + javascript_problems(resolved)
    known = known_tools(resolved)
    return problems + ungranted(resolved, known) + unknown_grants(resolved, known) + unreachable(resolved)


def _world(world: worlds.World | StrPath, changes: Overrides) -> worlds.World:
    if isinstance(world, worlds.World):
        return world if changes == Overrides() else world.override(changes)
    return World.read(world, changes)


def _unused_journal(world: worlds.World) -> Path:
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
