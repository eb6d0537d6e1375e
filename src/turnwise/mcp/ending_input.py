"""Standard input that ends when a signal asks for the end.

The SDK reads it on a thread, and waits for that thread when it is interrupted: until the program at the other end
happens to write, or to go. Here the thread reads from a socket, which a signal shuts down; so Ctrl-C is the end of the
input, at which the server stops what it has begun and ends as it does when its client is gone.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from types import FrameType

_CHUNK_BYTES = 64 * 1024


def end_input_on_signals() -> None:
    """Have SIGINT and SIGTERM end standard input; a second one ends the process. To be called by the main thread.

    Does nothing on Windows, whose files are no sockets.
    """
    if sys.platform == "win32":
        return
    reading = os.dup(0)
    into, out_of = socket.socketpair()
    os.dup2(out_of.fileno(), 0)
    out_of.close()

    def hand_on() -> None:
        with suppress(OSError):
            while part := os.read(reading, _CHUNK_BYTES):
                into.sendall(part)
            into.shutdown(socket.SHUT_WR)

    def end(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        with suppress(OSError):
            into.shutdown(socket.SHUT_WR)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    threading.Thread(target=hand_on, name="turnwise-mcp-input", daemon=True).start()
