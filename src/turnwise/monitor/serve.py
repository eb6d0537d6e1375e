"""Servers of pages on the loopback address, of the monitor above all, until they are stopped."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from turnwise.errors import UsageError
from turnwise.monitor.access import new_token
from turnwise.monitor.application import application
from turnwise.monitor.shown import ShownRuns

LOOPBACK: Final = "127.0.0.1"
NAMES: Final = ("127.0.0.1", "localhost")
SHUTDOWN_SECONDS: Final = 1
"""Time that answers which are under way have when it is stopped."""


class PageServer:
    """A server of a page with its address, which listens as soon as it is made."""

    def __init__(self, make: Callable[[Callable[[], bool]], ASGIApp], behind: str, port: int) -> None:
        """Listen on a port; 0 takes one that is free. Raises UsageError for one that cannot be had.

        `make` makes the application, given what says that it is to end; `behind` is what stands behind the address,
        with the token that lets its reader in.
        """
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listener.bind((LOOPBACK, port))
            self._listener.listen()
        except OSError as error:
            self._listener.close()
            hint = "Choose another --port, or leave it out: then a free one is taken."
            raise UsageError(f"port {port} cannot be had: {error.strerror}", where="--port", hint=hint) from None
        self.address = f"http://{LOOPBACK}:{self._listener.getsockname()[1]}/{behind}"
        """Address to open, with the token that lets its reader in."""
        config = uvicorn.Config(
            make(lambda: self._server.should_exit),
            log_config=None,
            access_log=False,  # addresses hold the token
            server_header=False,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
        self._server = uvicorn.Server(config)

    def run(self) -> None:
        """Serve until it is stopped or interrupted."""
        with self._listener:
            self._server.run(sockets=[self._listener])

    def stop(self) -> None:
        """Have `run` return, from any thread."""
        self._server.should_exit = True


class MonitorServer(PageServer):
    """A monitor with its address."""

    def __init__(self, runs: ShownRuns, *, port: int = 0, hosts: Sequence[str] = ()) -> None:
        """Listen, as every page does. `hosts` are more names of this machine by which the monitor may be asked."""
        token = new_token()
        names = (*NAMES, *hosts)
        super().__init__(lambda ends: application(runs, token, names, ends), f"?token={token}", port)
