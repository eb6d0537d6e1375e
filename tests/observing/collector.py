"""A collector that stands in for a real one: it takes OTLP over HTTP and decodes it by the published protocol."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector:
    """What was sent to it. `statuses` are answered first, one a request; then 200."""

    def __init__(self, statuses: Sequence[int] = (), rejected: int = 0) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self._statuses = list(statuses)
        self._change = threading.Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with outer._change:
                    status = outer._statuses.pop(0) if outer._statuses else 200
                    outer.headers.append({name.lower(): text for name, text in self.headers.items()})
                    outer.paths.append(self.path)
                    if status == 200:
                        outer.requests.append(ExportTraceServiceRequest.FromString(body))
                    outer._change.notify_all()
                answer = ExportTraceServiceResponse(
                    partial_success=ExportTracePartialSuccess(rejected_spans=rejected) if rejected else None
                ).SerializeToString()
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def spans(self) -> list[Span]:
        """All spans, in order."""
        with self._change:
            return [
                span
                for request in self.requests
                for around in request.resource_spans
                for scope in around.scope_spans
                for span in scope.spans
            ]

    def wait_for_requests(self, count: int) -> bool:
        """Wait until so many requests have come, answered well or not."""
        with self._change:
            return self._change.wait_for(lambda: len(self.paths) >= count, 60)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def collector(statuses: Sequence[int] = (), rejected: int = 0) -> Iterator[Collector]:
    """Have a collector for a while."""
    found = Collector(statuses, rejected)
    try:
        yield found
    finally:
        found.close()


def attributes(span: Span) -> dict[str, Any]:
    """The attributes of a span as Python values."""
    found: dict[str, Any] = {}
    for one in span.attributes:
        kind = one.value.WhichOneof("value")
        value = getattr(one.value, kind)
        found[one.key] = [item.string_value for item in value.values] if kind == "array_value" else value
    return found
