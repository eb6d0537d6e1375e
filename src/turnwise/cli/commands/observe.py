"""`turnwise observe`: a run for operators, while it is played: metrics, spans, lines of JSON."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from turnwise.cli.commands.options import JournalFile, LogJson, MetricsPort, Otlp, Parents
from turnwise.cli.errors import DONE
from turnwise.cli.interrupts import exit_code
from turnwise.cli.output import Output
from turnwise.errors import EnvironmentFailure, JournalError, UsageError

if TYPE_CHECKING:
    from turnwise.observing.observer import Observer

APPEAR_S_MAX = 120.0
"""Time in which the journal of a run that was just begun has to be there."""
LOOK_S = 0.05


def observe(
    journal: JournalFile,
    metrics: MetricsPort = None,
    otlp: Otlp = None,
    log_json: LogJson = None,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Tell of the rounds that are there already, too.")
    ] = False,
    parent: Parents = None,
    after: Annotated[int | None, typer.Option("--after", hidden=True)] = None,
    beside: Annotated[bool, typer.Option("--beside", hidden=True)] = False,
) -> int:
    """Tell operators of a run while it is played, until it has ended or Ctrl-C.

    Metrics for Prometheus on a port of this machine, a trace for each round to an OpenTelemetry collector (without
    texts), lines of JSON. It reads what the monitor reads, in a process of its own that takes at most a twentieth of a
    core, and has no way to reach the run. "turnwise run" and "turnwise resume" take the same options, and begin it
    beside them.
    """
    if metrics is None and otlp is None and log_json is None:
        raise UsageError(
            "nothing is to be told", where="observe", hint="Give --metrics PORT, --otlp URL or --log-json FILE."
        )
    from turnwise.observing.observer import Observer, Wanted

    stop = threading.Event()
    if beside:
        _end_with_parent(stop)
        _wait_for(journal, stop)
    with ExitStack() as stack:
        wanted = Wanted(metrics, otlp, None if log_json is None else _opened(log_json, stack, beside=beside))
        observer = stack.enter_context(Observer(journal, wanted, parent or (), after=0 if from_start else after))
        if observer.address is not None and (beside or log_json is None or str(log_json) != "-"):
            Output.out().line(observer.address)
            Output.out().flush()
        threading.Thread(target=_stops, args=(stop, observer), daemon=True).start()
        try:
            observer.run()
        except KeyboardInterrupt as error:
            return exit_code(error)
    return DONE


def _opened(path: Path, stack: ExitStack, *, beside: bool) -> TextIO:
    """Open the file for lines, to add to it."""
    if str(path) == "-":
        return sys.stderr if beside else sys.stdout
    try:
        return stack.enter_context(path.open("a", encoding="utf-8"))
    except OSError as error:
        raise EnvironmentFailure(
            f"the log cannot be written: {error.strerror}", where=str(path), hint="Look at the folder and its rights."
        ) from error


def _stops(stop: threading.Event, observer: Observer) -> None:
    stop.wait()
    observer.stop()


def _end_with_parent(stop: threading.Event) -> None:
    """Take a back seat to the run beside which this was started, and end when its command does."""
    if hasattr(os, "nice"):
        os.nice(10)

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 4_096):  # not by a buffer, whose lock would be held while Python ends
            pass
        stop.set()

    threading.Thread(target=watch, daemon=True).start()


def _wait_for(journal: Path, stop: threading.Event) -> None:
    """Wait until a run that was just begun has its journal."""
    from turnwise.journal import Journal

    deadline_s = time.monotonic() + APPEAR_S_MAX
    while not stop.is_set() and time.monotonic() < deadline_s:
        try:
            Journal.open(journal).close()
        except JournalError:
            stop.wait(LOOK_S)
        else:
            return
