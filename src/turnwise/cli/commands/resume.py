"""`turnwise resume`: go on with a run that was stopped, or that crashed."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from turnwise.cli.commands.options import (
    AcceptTools,
    FailOnFailedTurns,
    JournalFile,
    Json,
    Log,
    LogJson,
    MetricsPort,
    Models,
    Monitor,
    Otlp,
    Parents,
    Patience,
    Serve,
    Workers,
    log_choice,
    model_folders,
)
from turnwise.cli.output import Output
from turnwise.errors import JournalError


def resume(
    journal: JournalFile,
    workers: Workers = None,
    model: Models = None,
    parent: Parents = None,
    patience: Patience = 0,
    serve: Serve = False,
    log: Log = "info",
    fail_on_failed_turns: FailOnFailedTurns = False,
    metrics: MetricsPort = None,
    otlp: Otlp = None,
    log_json: LogJson = None,
    monitor: Monitor = False,
    accept_tools: AcceptTools = False,
    json: Json = False,
) -> int:
    """Go on with a run that was stopped or has crashed.

    It comes to the same head as if nothing had happened. A run that has ended already is only summarized; if it was
    killed before its journal was closed, what lies beside the journal is taken into it.
    """
    models, level, parents = model_folders(model), log_choice(log), parent or ()
    import turnwise
    from turnwise.cli.observed import observed_of
    from turnwise.cli.page_beside import monitor_beside
    from turnwise.cli.playing import play_and_tell, tell
    from turnwise.journal import Journal
    from turnwise.journal.run import Run

    # Its links are followed when it is told of, and not before it goes on.
    with Journal.open(journal, parents=parents) as file:
        ended, world = file.rounds.end_record is not None, file.header.plan_at().name
        last = file.rounds.last_round
    if ended:
        with Run.open(journal, parents=parents) as run:
            Output.err().line("This run has ended already; there is nothing to go on with.")
            code = tell(run, as_json=json, fail_on_failed_turns=fail_on_failed_turns)
        with suppress(JournalError):  # somebody has it open for writing, and will close it
            if taken := Journal.tidy(journal):
                Output.err().line(f"It was killed before it was closed; {' and '.join(taken)} became part of it.")
        return code
    begin = partial(
        turnwise.resume,
        journal,
        parents=parents,
        workers=workers,
        models=models,
        patience_s=patience,
        serve=serve,
        accept_tools=accept_tools,
    )
    return play_and_tell(
        begin,
        world,
        log=level,
        fail_on_failed_turns=fail_on_failed_turns,
        as_json=json,
        monitor=monitor_beside(monitor),
        observed=observed_of(metrics, otlp, log_json, after=last),
    )
