"""Sending spans to a collector by OTLP over HTTP: in batches, from a thread, with a bound on what waits."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote, urlsplit

import httpx
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

QUEUE_SPANS_MAX: Final = 20_000
"""Spans that wait for the collector; the oldest are dropped for more."""
BATCH_SPANS_MAX: Final = 512
TIMEOUT_S: Final = 10.0
"""Time of one export."""
PAUSE_S: Final = 1.0
"""Pause after an export that the collector could not take; each further one is twice as long."""
PAUSE_S_MAX: Final = 60.0
ANSWER_BYTES_MAX: Final = 64 * 1024
"""Bytes of an answer that are read."""
TRACES_PATH: Final = "/v1/traces"
HEADERS: Final = "OTEL_EXPORTER_OTLP_HEADERS"
"""Variable of the environment with headers for the collector: `name=value,name=value`, as all exporters have it."""
_AGAIN: Final = (429, 502, 503, 504)


class OtlpSender:
    """Sends spans with what they are spans of. Closes twice without harm."""

    def __init__(self, collector: str, around: ResourceSpans) -> None:
        """`collector` is its address; `around` has the resource and one scope, without spans."""
        self.sent = self.failed = self.dropped = 0
        self._around = around
        self._queue: deque[Span] = deque()
        self._change = threading.Condition()
        self._end_s: float | None = None
        self._http = httpx.Client(
            trust_env=False, follow_redirects=False, timeout=TIMEOUT_S, headers=headers_of(os.environ)
        )
        self._url = traces_url(collector)
        self._thread = threading.Thread(target=self._run, name="turnwise-otlp", daemon=True)
        self._thread.start()

    def put(self, span: Span) -> None:
        """Queue a span. Never waits."""
        with self._change:
            if len(self._queue) >= QUEUE_SPANS_MAX:
                self._queue.popleft()
                self.dropped += 1
            self._queue.append(span)
            self._change.notify()

    def close(self, within_s: float = 0.0) -> None:
        """Send what waits, but not for longer than a time, and end."""
        with self._change:
            if self._end_s is None:
                self._end_s = time.monotonic() + within_s
            self._change.notify()
        self._thread.join(within_s + TIMEOUT_S)

    def _run(self) -> None:
        pause_s = PAUSE_S
        with self._http:
            while batch := self._batch():
                is_taken = self._export(batch)
                if is_taken:
                    pause_s = PAUSE_S
                    continue
                with self._change:
                    self._queue.extendleft(reversed(batch))
                    if self._is_late:
                        break
                    self._change.wait_for(lambda: self._end_s is not None, pause_s)
                pause_s = min(2 * pause_s, PAUSE_S_MAX)
        with self._change:
            self.dropped += len(self._queue)
            self._queue.clear()

    @property
    def _is_late(self) -> bool:
        return self._end_s is not None and time.monotonic() > self._end_s

    def _batch(self) -> list[Span]:
        """Wait for spans, and take the first; empty at the end."""
        with self._change:
            self._change.wait_for(lambda: self._queue or self._end_s is not None)
            if self._is_late:
                return []
            return [self._queue.popleft() for _ in range(min(BATCH_SPANS_MAX, len(self._queue)))]

    def _export(self, batch: list[Span]) -> bool:
        """Send a batch; return False if it is to be sent again."""
        request = ExportTraceServiceRequest(resource_spans=[self._around])  # which copies
        request.resource_spans[0].scope_spans[0].spans.extend(batch)
        body: bytes = request.SerializeToString()  # type: ignore[no-untyped-call]
        try:
            with self._http.stream("POST", self._url, content=body, headers=_TYPE) as response:
                answer = next(response.iter_raw(ANSWER_BYTES_MAX), b"")
        except (httpx.HTTPError, OSError):
            return False
        if response.status_code in _AGAIN:
            return False
        rejected = len(batch)
        if response.status_code == 200:
            rejected = min(len(batch), _rejected(answer))
        self.sent += len(batch) - rejected
        self.failed += rejected
        return True


_TYPE: Final = {"Content-Type": "application/x-protobuf"}


def _rejected(answer: bytes) -> int:
    try:
        found = ExportTraceServiceResponse.FromString(answer)  # type: ignore[no-untyped-call]
        return max(0, int(found.partial_success.rejected_spans))
    except DecodeError:
        return 0


def traces_url(collector: str) -> str:
    """Return the address for traces of a collector, which may be given without its path."""
    return collector if urlsplit(collector).path.strip("/") else collector.rstrip("/") + TRACES_PATH


def headers_of(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that the environment names for collectors; what is none is left out."""
    pairs = (entry.partition("=") for entry in environment.get(HEADERS, "").split(","))
    return {unquote(name.strip()): unquote(value.strip()) for name, equals, value in pairs if equals and name.strip()}
