"""Batches to a collector: again while it cannot take them, dropped when nothing helps, never waited for."""

from __future__ import annotations

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from tests.observing.collector import collector
from turnwise.observing import otlp_sender
from turnwise.observing.otlp_sender import OtlpSender, headers_of, traces_url


def sender(url: str) -> OtlpSender:
    return OtlpSender(url, ResourceSpans(scope_spans=[ScopeSpans()]))


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp_sender, "PAUSE_S", 0.01)


def test_spans_arrive_in_order_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(otlp_sender.HEADERS, "authorization=Bearer%20x,x-tenant=7,nonsense")
    with collector() as far:
        one = sender(far.url)
        for number in range(1_000):
            one.put(Span(name=str(number)))
        one.close(30)
        one.close(30)
        assert [span.name for span in far.spans] == [str(number) for number in range(1_000)]
        assert (one.sent, one.failed, one.dropped) == (1_000, 0, 0)
        assert all(len(request.resource_spans[0].scope_spans[0].spans) <= 512 for request in far.requests)
        assert set(far.paths) == {"/v1/traces"}
        assert far.headers[0]["content-type"] == "application/x-protobuf"
        assert (far.headers[0]["authorization"], far.headers[0]["x-tenant"]) == ("Bearer x", "7")


def test_what_a_collector_cannot_take_now_is_sent_again() -> None:
    with collector([503, 429, 502]) as far:
        one = sender(far.url)
        one.put(Span(name="a"))
        assert far.wait_for_requests(4)
        one.close(30)
        assert [span.name for span in far.spans] == ["a"]
        assert (one.sent, one.failed) == (1, 0)


def test_what_it_does_not_want_is_dropped_and_counted() -> None:
    with collector([400, 301]) as far:
        one = sender(far.url)
        one.put(Span(name="a"))
        assert far.wait_for_requests(1)
        one.put(Span(name="b"))
        assert far.wait_for_requests(2)
        one.put(Span(name="c"))
        one.close(30)
        assert [span.name for span in far.spans] == ["c"]
        assert (one.sent, one.failed) == (1, 2)
    with collector(rejected=1) as far:
        one = sender(far.url)
        one.put(Span(name="a"))
        one.close(30)
        assert (one.sent, one.failed) == (0, 1)


def test_a_collector_that_is_not_there_costs_a_bounded_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp_sender, "QUEUE_SPANS_MAX", 10)
    monkeypatch.setattr(otlp_sender, "BATCH_SPANS_MAX", 5)
    one = sender("http://127.0.0.1:1")
    for number in range(100):
        one.put(Span(name=str(number)))
    one.close(0.2)
    assert one.sent == 0
    assert one.dropped >= 90
    assert one.dropped + one.failed == 100


def test_addresses_and_headers() -> None:
    assert traces_url("http://h:4318") == traces_url("http://h:4318/") == "http://h:4318/v1/traces"
    assert traces_url("http://h/otlp/v1/traces") == "http://h/otlp/v1/traces"
    assert headers_of({}) == {}
    assert headers_of({otlp_sender.HEADERS: "a=1, b = 2%2C3,=x,y"}) == {"a": "1", "b": "2,3"}
