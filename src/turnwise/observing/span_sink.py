"""Spans of rounds for a collector, while a run is played.

Each round is a trace: complete as soon as it is told of, however long the run stays up. Spans are those of the export,
without texts; a turn is linked with those that sent what it reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from turnwise._version import __version__
from turnwise.exports.moments import RoundMoments
from turnwise.exports.otel import SCHEMA, RoundSpans, SpanIds, round_span
from turnwise.observing.otlp_sender import OtlpSender

REMEMBERED_MAX: Final = 100_000
"""Messages of which it is remembered which turn sent them."""
FLUSH_S_MAX: Final = 5.0
"""Time in which what waits is sent, when the run is over."""


class SpanSink:
    """Sends the spans of one run to a collector. Closes twice without harm."""

    def __init__(self, collector: str, run: str, resource: Mapping[str, str]) -> None:
        """`collector` is its address, `run` names the run in ids, `resource` says what it is."""
        self._run = run
        self._rounds = RoundSpans(REMEMBERED_MAX)
        named = {"service.name": "turnwise", "service.version": __version__, **resource}
        attributes = [KeyValue(key=key, value=AnyValue(string_value=text)) for key, text in named.items()]
        scope = ScopeSpans(scope=InstrumentationScope(name="turnwise", version=__version__), schema_url=SCHEMA)
        around = ResourceSpans(resource=Resource(attributes=attributes), scope_spans=[scope], schema_url=SCHEMA)
        self.sender = OtlpSender(collector, around)

    def take(self, moment: RoundMoments, names: Sequence[str]) -> None:
        """Send the spans of a round, when the collector has time."""
        ids = SpanIds(sha256(f"{self._run}\n{moment.record.round}".encode()).hexdigest(), conversation=self._run)
        for span in self._rounds.of(ids, moment, names):
            self.sender.put(readable(span))
        self.sender.put(readable(round_span(ids, moment)))

    def close(self) -> None:
        """Send what waits, within FLUSH_S_MAX, and end."""
        self.sender.close(FLUSH_S_MAX)


def readable(span: Mapping[str, Any]) -> Span:
    """Return a span of the export as the protocol has it."""
    return Span(
        trace_id=bytes.fromhex(span["traceId"]),
        span_id=bytes.fromhex(span["spanId"]),
        parent_span_id=bytes.fromhex(span.get("parentSpanId", "")),
        name=span["name"],
        kind=span["kind"],
        start_time_unix_nano=int(span["startTimeUnixNano"]),
        end_time_unix_nano=int(span["endTimeUnixNano"]),
        attributes=[KeyValue(key=one["key"], value=_value(one["value"])) for one in span["attributes"]],
        links=[
            Span.Link(trace_id=bytes.fromhex(link["traceId"]), span_id=bytes.fromhex(link["spanId"]))
            for link in span.get("links", ())
        ],
        status=Status(code=span["status"]["code"]) if "status" in span else None,
    )


def _value(value: Mapping[str, Any]) -> AnyValue:
    ((kind, found),) = value.items()
    match kind:
        case "arrayValue":
            return AnyValue(array_value=ArrayValue(values=[_value(item) for item in found["values"]]))
        case "intValue":
            return AnyValue(int_value=int(found))
        case "boolValue":
            return AnyValue(bool_value=found)
        case "doubleValue":
            return AnyValue(double_value=found)
    return AnyValue(string_value=found)
