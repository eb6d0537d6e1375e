"""`turnwise run`: play a world to its end."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from turnwise.cli.commands.options import (
    FailOnFailedTurns,
    Json,
    Log,
    LogJson,
    MetricsPort,
    Models,
    Monitor,
    Otlp,
    Patience,
    Serve,
    Workers,
    WorldFolder,
    log_choice,
    model_folders,
)
from turnwise.cli.output import Output
from turnwise.errors import UsageError

Seed = Annotated[
    int | None, typer.Option("--seed", metavar="N", help="Another seed than the world's.", show_default=False)
]
Schedule = Annotated[
    str | None,
    typer.Option("--schedule", metavar="rounds|sequential", help="Another schedule than the world's."),
]
Rounds = Annotated[
    int | None, typer.Option("--rounds", metavar="N", help="End after so many rounds.", show_default=False)
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a key of the world file: agents.narrator.args.mood=sad. May be repeated.",
    ),
]
Journal = Annotated[
    Path | None,
    typer.Option("--journal", metavar="FILE", help="Write the journal to this new file.", show_default=False),
]
Native = Annotated[
    bool,
    typer.Option(
        "--native",
        help="Run Python agents unsandboxed in this process, for breakpoints. Proves nothing, writes no journal.",
    ),
]
OrResume = Annotated[
    bool,
    typer.Option("--or-resume", help="Go on with the journal that --journal names, if it is there."),
]


def run(
    world: WorldFolder,
    seed: Seed = None,
    workers: Workers = None,
    schedule: Schedule = None,
    rounds: Rounds = None,
    set_: Set = None,
    model: Models = None,
    journal: Journal = None,
    patience: Patience = 0,
    serve: Serve = False,
    or_resume: OrResume = False,
    log: Log = "info",
    fail_on_failed_turns: FailOnFailedTurns = False,
    native: Native = False,
    monitor: Monitor = False,
    metrics: MetricsPort = None,
    otlp: Otlp = None,
    log_json: LogJson = None,
    json: Json = False,
) -> int:
    """Play a world to its end.

    A live display shows how it goes, and above it what agents log for people, as it comes. A summary follows with the
    head, which names everything that happened, and the journal's path. Ctrl-C stops when the round in progress is
    committed, a second Ctrl-C stops at once; either way the run can be resumed.

    Without --journal, the journal is runs/WORLD-SEED.journal below the current folder, or with the first number behind
    it that is free. The exit code is 1 if no turn has completed.

    With --serve the run stays up: "turnwise send" brings messages into it. With --or-resume the same command begins it
    and, after it was stopped or has crashed, goes on with it.
    """
    folders, level = model_folders(model), log_choice(log)
    if or_resume and (journal is None or native):
        raise UsageError(
            "--or-resume needs a journal to go on with", where="--or-resume", hint="Name it: --journal FILE."
        )
    if native:
        if monitor:
            hint = "Leave out --native or --monitor."
            raise UsageError("a native run has no journal to show", where="--native", hint=hint)
        if metrics is not None or otlp is not None or log_json is not None:
            hint = "Leave out --native, or --metrics, --otlp and --log-json."
            raise UsageError("a native run has no journal to tell of", where="--native", hint=hint)
        if serve:
            raise UsageError("--native cannot --serve", where="--serve", hint="Leave one of them out.")
        for option, given, why in (
            ("--journal", journal, "a native run writes no journal"),
            ("--workers", workers, "a native run has no sandbox workers: its agents run in this process"),
            ("--patience", patience or None, "a native run waits for people in this terminal, for as long as it takes"),
        ):
            if given is not None:
                raise UsageError(why, where=option, hint=f"Leave out --native or {option}.")
        from turnwise.cli.native import play_native

        return play_native(
            world,
            seed=seed,
            schedule=schedule,
            rounds=rounds,
            models=folders,
            overrides=set_ or (),
            log=level,
            fail_on_failed_turns=fail_on_failed_turns,
            as_json=json,
        )
    if or_resume and journal is not None and journal.exists():
        if seed is not None or schedule is not None or rounds is not None or set_:
            Output.err().line("The journal is there: the run goes on with the world that it has.")
        from turnwise.cli.commands.resume import resume

        return resume(
            journal,
            workers=workers,
            model=model,
            patience=patience,
            serve=serve,
            log=log,
            fail_on_failed_turns=fail_on_failed_turns,
            metrics=metrics,
            otlp=otlp,
            log_json=log_json,
            monitor=monitor,
            json=json,
        )
    from turnwise import start
    from turnwise.cli.observed import observed_of
    from turnwise.cli.page_beside import monitor_beside
    from turnwise.cli.playing import play_and_tell

    begin = partial(
        start,
        world,
        seed=seed,
        workers=workers,
        schedule=schedule,
        rounds=rounds,
        models=folders,
        overrides=set_ or (),
        journal=journal,
        patience_s=patience,
        serve=serve,
    )
    return play_and_tell(
        begin,
        str(world),
        log=level,
        fail_on_failed_turns=fail_on_failed_turns,
        as_json=json,
        monitor=monitor_beside(monitor),
        observed=observed_of(metrics, otlp, log_json, after=0),
    )
