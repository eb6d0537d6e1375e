"""A page beside a run that this command plays: the server of it is another process, which the run never waits for."""

from __future__ import annotations

import select
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from turnwise.cli.output import Output
from turnwise.errors import UsageError

READY_SECONDS: Final = 10.0
"""Time that it has to start after a run that was over before it."""

END_SECONDS: Final = 5.0
"""Time that it has to end in order."""


class PageBeside:
    """A command that serves a page of one journal, in a session of its own, so that Ctrl-C stops the run and not it.

    It ends when this process does, however that ends: its standard input is a pipe that then closes.
    """

    def __init__(self, what: str, command: str, *options: str) -> None:
        """Take a command whose first argument is the journal, with options; `what` it serves, in a word for people.

        Raises UsageError if what it needs is not installed: before anything is played.
        """
        try:
            import starlette
            import uvicorn
        except ImportError as error:
            hint = 'Install it: pip install "turnwise[monitor]"'
            raise UsageError(f"the {what} is not installed ({error.name} is missing)", hint=hint) from None
        del starlette, uvicorn
        self._what = what
        self._command = command
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.address: str | None = None
        """Address to open, as soon as it is known."""

    def begin(self, journal: Path) -> None:
        """Start it, once: later calls do nothing."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "turnwise", self._command, str(journal), *self._options, "--beside"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

    def news(self) -> str | None:
        """Return a line that says where it is, or that it has ended, once for each; never waits."""
        process = self._process
        if process is None or process.stdout is None or process.stdout.closed:
            return None
        if not select.select([process.stdout], [], [], 0)[0]:
            return None
        line = process.stdout.readline().decode(errors="replace").strip()
        if self.address is None and line:
            self.address = line
            return f"{self._what}: {line}"
        if not line:
            process.stdout.close()
            return f"The {self._what} has ended. The run goes on."
        return None

    @property
    def has_ended(self) -> bool:
        """True once `news` has said so."""
        return self._process is not None and self._process.stdout is not None and self._process.stdout.closed

    def is_ready(self) -> bool:
        """Return whether it runs and its address is known; waits for that, if it has just been started."""
        while self.address is None and self._process is not None and self._process.stdout is not None:
            if self._process.stdout.closed:
                return False
            select.select([self._process.stdout], [], [], READY_SECONDS)
            if self.news() is None:
                return False
        return self._process is not None and self._process.poll() is None

    def wait(self) -> None:
        """Wait until it has ended, by itself or by Ctrl-C here."""
        if self._process is not None:
            self._process.wait()

    def stay(self) -> None:
        """On a terminal, wait for Ctrl-C when the run is over, so that what is shown can still be read."""
        if sys.stdin.isatty() and self.is_ready():
            Output.out().flush()
            Output.err().line(f"The {self._what} stays at {self.address} until Ctrl-C.")
            with suppress(KeyboardInterrupt):
                self.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it: in order, or by force if it does not answer, such as one that was stopped by a signal."""
        if self._process is None:
            return
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def monitor_beside(wanted: bool) -> PageBeside | None:
    """Make the monitor that goes beside a run, if it is wanted; it starts when the run's journal is there."""
    return PageBeside("monitor", "monitor") if wanted else None
