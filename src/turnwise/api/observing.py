"""Telemetry of a run for operators."""

from __future__ import annotations

from collections.abc import Sequence

from turnwise.api.places import places
from turnwise.observing.beside import Beside
from turnwise.system.paths import StrPath


def observe(
    journal: StrPath,
    *,
    metrics: int | None = None,
    otlp: str | None = None,
    log: StrPath | None = None,
    from_start: bool = False,
    parents: Sequence[StrPath] = (),
) -> Beside:
    """Begin a process that tells operators of a run while it is played; it ends with the run, or with `close`.

    `metrics` is a port of 127.0.0.1 for Prometheus (0: a free one, see `address`), `otlp` the address of an
    OpenTelemetry collector, `log` a file to which lines of JSON are added. The journal may come later. With
    `from_start`, rounds that are there already are told of, too.
    """
    return Beside(
        journal, metrics=metrics, otlp=otlp, log=log, after=0 if from_start else None, parents=places(parents)
    )
