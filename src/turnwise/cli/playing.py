"""Playing a run to its end, or to where a person wants it to stop."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from turnwise.cli import summary
from turnwise.cli.errors import as_json as error_as_json
from turnwise.cli.errors import json_line, report
from turnwise.cli.interrupts import INTERRUPTED, Interrupts
from turnwise.cli.logs import LOGS_AT_ONCE_MAX, LogChoice, is_shown
from turnwise.cli.observed import Observed, unobserved
from turnwise.cli.output import Output
from turnwise.cli.progress import Display, Silent, display_for
from turnwise.cli.summary import quoted_path
from turnwise.cli.text import count, shorten
from turnwise.errors import JournalError, RunClosed, TurnwiseError, UsageError

if TYPE_CHECKING:
    from turnwise.cli.page_beside import PageBeside
    from turnwise.journal.run import Run
    from turnwise.observing.beside import Beside
    from turnwise.orchestrator.live import Live

WAIT_S_MAX = 0.1
"""Longest wait: the display is drawn, and an interruption answered, about ten times a second."""

QUESTION_CHARS_MAX = 200

STOPPING = "Stopping when the round in progress is committed. Ctrl-C again stops at once."
STOPPING_AT_START = "Stopping: no round has begun."
ABORTING = "Stopping at once: the round in progress is lost, what was committed is safe."


@dataclass(frozen=True, slots=True)
class Played:
    """The end of playing."""

    run: Run | None
    """The run as far as it is in its journal; None if there is none yet."""
    error: TurnwiseError | None
    """Error that ended it, or None."""
    interrupted: int
    """Exit code if it was stopped: that of the signal that asked for it."""


def play_and_tell(
    begin: Callable[[], Live],
    world: str,
    *,
    log: LogChoice = "info",
    fail_on_failed_turns: bool = False,
    as_json: bool,
    monitor: PageBeside | None = None,
    observed: Observed | None = None,
) -> int:
    """Begin to play `world`, play it to the end, tell how it went, and return the exit code.

    A `monitor` is started beside it. On a terminal it stays after the run until Ctrl-C, else it ends with the run.
    `observed` is told of the run, too, until it is over.
    """
    if monitor is None:
        return _play_and_tell(begin, world, log, fail_on_failed_turns, as_json, None, observed)
    with monitor:
        code = _play_and_tell(begin, world, log, fail_on_failed_turns, as_json, monitor, observed)
        monitor.stay()
        return code


def _play_and_tell(
    begin: Callable[[], Live],
    world: str,
    log: LogChoice,
    fail_on_failed_turns: bool,
    as_json: bool,
    monitor: PageBeside | None,
    observed: Observed | None,
) -> int:
    err = Output.err()
    played = play(begin, world, err, log, monitor, observed)
    if played.run is None:
        code = played.interrupted if played.error is None else report(played.error, err)
        return _tell_nothing(played.error, code, as_json=as_json)
    with played.run as run:
        if played.error is None:
            return tell(run, as_json=as_json, fail_on_failed_turns=fail_on_failed_turns, interrupted=played.interrupted)
        code = report(played.error, err)
        err.line()
        found = summary.summarize(run)
        summary.show(found, err if as_json else Output.out())
        if as_json:
            Output.out().write(summary.as_json(found, {"error": error_as_json(played.error, code)}))
        return code


def _tell_nothing(error: TurnwiseError | None, code: int, *, as_json: bool) -> int:
    """Say that there is no run to tell of: it could not be begun, or was interrupted before it was."""
    if error is None:
        Output.err().line("interrupted before the first round was committed: there is nothing to go on with.")
    if as_json:
        Output.out().write(json_line(error or KeyboardInterrupt(), code))
    return code


def tell(run: Run, *, as_json: bool, fail_on_failed_turns: bool = False, interrupted: int = INTERRUPTED) -> int:
    """Print the summary of a run: for people, and for programs if they asked. Returns the exit code.

    `interrupted` is the exit code of a run that has not ended.
    """
    found = summary.summarize(run)
    verdict = summary.judge(
        found.status, found.turns, found.failed, fail_on_failed_turns=fail_on_failed_turns, interrupted=interrupted
    )
    summary.show(found, Output.err() if as_json else Output.out(), verdict.reason)
    if as_json:
        Output.out().write(summary.as_json(found))
    return verdict.code


def play(
    begin: Callable[[], Live],
    world: str,
    output: Output,
    log: LogChoice = "info",
    monitor: PageBeside | None = None,
    observed: Observed | None = None,
) -> Played:
    """Play while showing how it goes on `output`. The first Ctrl-C stops at a safe point, the second at once.

    What agents log is shown as it comes, from the level `log` on. `begin` starts the run, where an interruption is
    answered as it is later. When this returns, everything that will ever be committed is in the journal.
    """
    with Interrupts() as interrupts:
        live = begin()
        error: TurnwiseError | None = None
        run: Run | None = None
        try:
            title = f"{world}, journal {quoted_path(live.journal)}"
            is_silent = observed is not None and observed.has_lines
            with (
                (observed.begin if observed is not None else unobserved)(live.journal) as beside,
                Silent() if is_silent else display_for(output, title) as display,
            ):
                _watch(live, display, interrupts, log, monitor, beside)
                run = live.result()
        except RunClosed:  # stopped at once, or before there was a round
            pass
        except UsageError as mistake:  # nothing was played, and a journal that is there may be another run's
            return Played(None, mistake, interrupts.code)
        except TurnwiseError as failure:
            error = failure
        finally:
            live.close()
        return Played(run or _written(live), error, interrupts.code)


def _written(live: Live) -> Run | None:
    """Return what was committed of a run that did not come to its end; None without a whole journal."""
    from turnwise.journal.run import Run

    try:
        return Run.open(live.journal, parents=live.parents)
    except JournalError:
        return None


def _watch(
    live: Live,
    display: Display,
    interrupts: Interrupts,
    log: LogChoice,
    monitor: PageBeside | None,
    beside: Beside | None,
) -> None:
    asked = said = told = 0
    rests = False
    live.play()
    while True:
        ended = live.wait(WAIT_S_MAX)
        notices = live.notices
        for notice in notices[said:]:
            display.note(notice)
        said = len(notices)
        _show_logs(live, display, log)
        progress = live.progress()
        if progress.questions and not ended:
            told = _tell_questions(live, display, told)
        if live.serve and progress.quiet and not rests and not ended:
            rests = True
            display.note(f"Nobody has anything left to do. turnwise send {quoted_path(live.journal)} AGENT BODY")
        if monitor is not None:
            if progress.phase != "starting":
                monitor.begin(live.journal)
            news = monitor.news()
            if news is not None:
                display.note(news)
        if beside is not None and (news := beside.news()) is not None:
            display.note(news)
        if ended:
            return
        display.update(progress)
        if asked < interrupts.count:
            asked += 1
            if asked == 1:
                display.note(STOPPING if live.progress().phase != "starting" else STOPPING_AT_START)
                live.stop()
            else:
                display.note(ABORTING)
                live.abort()


def _tell_questions(live: Live, display: Display, told: int) -> int:
    """Say of questions behind the number `told` how people answer them; return the highest number."""
    with suppress(RunClosed):
        for one in live.questions():
            if one.id > told:
                text = shorten(one.text, QUESTION_CHARS_MAX)
                command = f"turnwise answer {quoted_path(live.journal)} {one.id} ANSWER"
                display.note(f"{one.agent} asks: {text}  {command}")
                told = one.id
    return told


def _show_logs(live: Live, display: Display, log: LogChoice) -> None:
    logs, lost = live.logs()
    logs = [one for one in logs if is_shown(one.level, log)]
    for one in logs[:LOGS_AT_ONCE_MAX]:
        display.say(one)
    more = len(logs[LOGS_AT_ONCE_MAX:]) + (lost if log != "none" else 0)
    if more:
        display.note(f"… {count(more, 'log')} more: turnwise log shows all")
