"""Metrics over HTTP on a port of this machine, for those who ask it by its own name."""

from __future__ import annotations

import threading
from http.server import ThreadingHTTPServer
from typing import Final

from prometheus_client import CollectorRegistry, MetricsHandler

from turnwise.errors import EnvironmentFailure

HOST: Final = "127.0.0.1"
PATH: Final = "/metrics"
ASKED_S_MAX: Final = 5.0
"""Time in which somebody who connects has to ask."""


class MetricsPort:
    """Serves a registry until it is closed. Closes twice without harm."""

    def __init__(self, registry: CollectorRegistry, port: int) -> None:
        """Listen on a port; 0 takes a free one. Raises EnvironmentFailure if it is taken."""

        class Handler(MetricsHandler):
            timeout = ASKED_S_MAX

            def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
                host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
                if host not in (HOST, "localhost"):  # a web page whose name was made to lead here
                    self.send_error(421, "Ask for 127.0.0.1")
                elif self.path.partition("?")[0] != PATH:
                    self.send_error(404, f"Metrics are at {PATH}")
                else:
                    super().do_GET()

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        Handler.registry = registry
        try:
            self._server = ThreadingHTTPServer((HOST, port), Handler)
        except OSError as error:
            raise EnvironmentFailure(
                f"metrics cannot be served there: {error.strerror}",
                where=f"--metrics {port}",
                hint="Another program has the port: name another one, or 0 for a free one.",
            ) from error
        self._server.daemon_threads = True
        self.address = f"http://{HOST}:{self._server.server_address[1]}{PATH}"
        self._thread = threading.Thread(target=self._server.serve_forever, name="turnwise-metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no longer."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
