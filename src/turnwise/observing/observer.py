"""The loop of the process that observes a run: look, tell, and rest for much longer than that took."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Final, TextIO

from turnwise.errors import UsageError
from turnwise.journal import Journal
from turnwise.observing.live_feed import LiveFeed
from turnwise.observing.log_lines import LogLines
from turnwise.observing.tail import Looked, Tail

LOOK_S: Final = 0.5
"""Time between two looks."""
REST: Final = 19
"""Rest after a look, as a multiple of the processor time that it took: it has at most 5 % of one core."""
ROUNDS_AT_ONCE: Final = 200
"""Rounds of one look."""
BEHIND_MAX: Final = 2_000
"""Rounds that may wait to be told of; more are passed over, and counted."""
LAST_S_MAX: Final = 5.0
"""Time in which the last rounds are told of, once it is to end."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Telemetry that is wanted."""

    metrics: int | None = None
    """Port for Prometheus; 0 takes a free one; None: no metrics."""
    otlp: str | None = None
    """Address of a collector; None: no spans."""
    log: TextIO | None = None
    """File for lines of JSON; None: no lines."""


def check_installed() -> None:
    """Raise UsageError if what speaks with collectors and Prometheus is not installed."""
    try:
        import httpx
        import opentelemetry.proto.trace.v1.trace_pb2
        import prometheus_client
    except ImportError as error:
        hint = 'Install it: pip install "turnwise[otel]"'
        raise UsageError(f"telemetry for operators is not installed ({error.name} is missing)", hint=hint) from None
    del httpx, opentelemetry, prometheus_client


class Observer:
    """Tells of one run until it has ended, or `stop` is called. A context manager."""

    def __init__(
        self, journal: Path, wanted: Wanted, parents: Sequence[Path] = (), *, after: int | None = None
    ) -> None:
        """Rounds behind `after` are told of; None: those that are not there yet.

        Raises TurnwiseError for what cannot be done.
        """
        if wanted.metrics is not None or wanted.otlp is not None:
            check_installed()
        self._stack = ExitStack()
        with Journal.open(journal, parents=parents) as file:
            plan = file.header.plan_at()
        names = {"world": plan.name, "seed": str(plan.seed), "journal": journal.name}
        self._tail = Tail(journal, parents, after)
        self._feed = LiveFeed(journal)
        self._stack.callback(self._feed.close)
        self._stopping = threading.Event()
        self._lines = None if wanted.log is None else LogLines(wanted.log, journal.name)
        self._metrics = self._spans = None
        self.address: str | None = None
        try:
            if wanted.metrics is not None:
                from turnwise.observing.metrics import Metrics
                from turnwise.observing.metrics_port import MetricsPort

                self._metrics = Metrics(names)
                port = MetricsPort(self._metrics.registry, wanted.metrics)
                self._stack.callback(port.close)
                self.address = port.address
            if wanted.otlp is not None:
                from turnwise.observing.span_sink import SpanSink

                resource = {f"turnwise.{name}": value for name, value in names.items()}
                self._spans = SpanSink(wanted.otlp, token_hex(16), resource)
                self._stack.callback(self._spans.close)
        except BaseException:
            self._stack.close()
            raise

    def stop(self) -> None:
        """Have `run` tell of what is committed by now, and return. May be called by any thread."""
        self._stopping.set()

    def run(self, wait: Callable[[float], bool] | None = None) -> None:
        """Tell of the run until it has ended, or `stop` is called."""
        wait = wait or self._stopping.wait
        stop_s: float | None = None
        while True:
            if self._stopping.is_set() and stop_s is None:
                stop_s = time.monotonic()
            begun_s = time.process_time()
            looked = self._look()
            spent_s = time.process_time() - begun_s
            if looked.end is not None:
                if self._lines is not None:
                    self._lines.ended(looked.end)
                return
            if stop_s is not None:
                if not looked.behind or time.monotonic() - stop_s > LAST_S_MAX:
                    return
                continue
            wait(max(LOOK_S if not looked.behind else 0.0, spent_s * REST))

    def _look(self) -> Looked:
        looked = self._tail.look(ROUNDS_AT_ONCE, BEHIND_MAX)
        if self._metrics is not None:
            sample = self._feed.look()
            self._metrics.live(None if sample is None else sample.state)
            self._metrics.looked(looked)
            if self._spans is not None:
                sender = self._spans.sender
                self._metrics.spans(sender.sent, sender.failed, sender.dropped)
        if looked.skipped and self._lines is not None:
            self._lines.line("rounds_skipped", "warning", rounds=looked.skipped)
        for moment in looked.rounds:
            if self._spans is not None:
                self._spans.take(moment, looked.names)
            if self._lines is not None:
                self._lines.take(moment, looked.names)
        return looked

    def close(self) -> None:
        """Send what waits, and give up everything. Twice does no harm."""
        self._stack.close()

    def __enter__(self) -> Observer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
