"""The command line: one module a command below `commands/`, put together in `program`.

A command's module reads its options, calls the public Python API and shows what came of it. What is shared between
commands lies beside this file: `text` and `output` (nothing that is shown can act on the terminal), `errors` (exit
codes), `playing` with `progress` and `summary` (a run while it is played, and after).

Nothing heavy is imported before a command needs it, so that `turnwise --help` is there at once.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Sequence

from turnwise.cli.interrupts import exit_code, terminate

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """The program. Leaves by SystemExit with the exit code, and never with a traceback."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, terminate)  # as orderly an end as Ctrl-C, from the first moment
    try:
        from turnwise.cli.program import run_program

        code = run_program(sys.argv[1:] if arguments is None else list(arguments))
    except KeyboardInterrupt as error:  # pressed before there was anything to interrupt
        code = exit_code(error)
    sys.exit(code)
