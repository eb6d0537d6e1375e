"""A process that observes a run beside the one that plays it, which never waits for it."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from turnwise.errors import UsageError
from turnwise.system.paths import StrPath

END_S_MAX: Final = 15.0
"""Time in which it tells of the last rounds, once it is to end; after it, it is killed."""
READY_S_MAX: Final = 30.0
"""Time in which `address` waits for the port."""

TO_STDERR: Final = "-"
"""Name of the file for lines that go to the standard error of whoever began it."""


class Beside:
    """An observing process in a session of its own, so that Ctrl-C stops the run and not this. A context manager.

    It ends when the process that began it does, however that ends: its standard input is a pipe that then closes.
    """

    def __init__(
        self,
        journal: StrPath,
        *,
        metrics: int | None = None,
        otlp: str | None = None,
        log: StrPath | None = None,
        after: int | None = None,
        parents: Sequence[Path] = (),
    ) -> None:
        """Begin it; the journal may come later. Rounds behind `after` are told of; None: those that are not there yet.

        Raises UsageError if nothing is to be told, or cannot be.
        """
        if metrics is None and otlp is None and log is None:
            raise UsageError(
                "nothing is to be told of the run",
                where="observe",
                hint="Name a port for metrics, a collector, or a log.",
            )
        if metrics is not None or otlp is not None:
            from turnwise.observing.observer import check_installed

            check_installed()
        arguments = [sys.executable, "-P", "-m", "turnwise", "observe", str(Path(journal).absolute()), "--beside"]
        arguments += [] if metrics is None else ["--metrics", str(metrics)]
        arguments += [] if otlp is None else ["--otlp", otlp]
        arguments += [] if log is None else ["--log-json", os.fspath(log)]
        arguments += [] if after is None else ["--after", str(after)]
        for place in parents:
            arguments += ["--parent", str(place)]
        self._process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=sys.platform != "win32"
        )
        self._address: str | None = None

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    @property
    def address(self) -> str | None:
        """Address of the metrics, as soon as the port is there, for which this waits; None without any."""
        out = self._process.stdout
        if (
            self._address is None
            and out is not None
            and not out.closed
            and select.select([out], [], [], READY_S_MAX)[0]
        ):
            self._address = out.readline().decode(errors="replace").strip() or None
        return self._address

    def news(self) -> str | None:
        """Return a line that says where metrics are, or that it has ended, once for each; never waits."""
        out = self._process.stdout
        if out is None or out.closed or not select.select([out], [], [], 0)[0]:
            return None
        line = out.readline().decode(errors="replace").strip()
        if line:
            self._address = line
            return f"metrics: {line}"
        out.close()
        return "What observes the run has ended. The run goes on."

    def close(self) -> None:
        """Have it tell of the last rounds and end; by force if it does not. Twice does no harm."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(END_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
