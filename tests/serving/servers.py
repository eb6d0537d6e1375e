"""A real server in a process of its own, as a person starts it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WAIT_S_MAX = 120


class Server:
    """A server that answers.

    - `url`: of the API, with `/v1`
    - `process`: that listens
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said = ""
        url = None
        assert process.stderr is not None
        while url is None:
            line = process.stderr.readline()
            assert line, f"it ended without listening: {self.said}"
            self.said += line
            url = re.search(r"serving at (\S+)", line)
        self.url = url[1]
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said += line

    def end(self, number: int = signal.SIGINT) -> int:
        """Tell it to end; returns the exit code when it has."""
        self.process.send_signal(number)
        code = self.process.wait(WAIT_S_MAX)
        self._reader.join(WAIT_S_MAX)
        return code


@contextmanager
def serving(*arguments: object, **changes: str) -> Iterator[Server]:
    """Run `turnwise serve` on a free port until the block is left."""
    environment = {name: value for name, value in os.environ.items() if name != "TURNWISE_API_KEY"} | changes
    process = subprocess.Popen(
        [sys.executable, "-m", "turnwise", "serve", "--port", "0", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=Path(__file__).parent,
    )
    try:
        yield Server(process)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(WAIT_S_MAX)
