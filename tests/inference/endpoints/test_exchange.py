"""Exchanges with endpoints that do what nobody should: bounded, never followed, never asked again once they answer."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.inference.endpoints.hostile import Endpoint as Hostile
from tests.inference.endpoints.hostile import Handler, answer, drips, endpoint, hangs, raw, says
from turnwise.inference.endpoints import exchange as exchanges
from turnwise.inference.endpoints.exchange import client, exchange, without_key
from turnwise.inference.endpoints.messages import KeyedEndpoint
from turnwise.inference.requests.refusal import Refusal


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchanges, "PAUSE_S", 0.0)


def ask(hostile: Hostile, *, key: str | None = None, seconds_max: int = 60, reply_bytes_max: int = 100_000) -> Any:
    async def asked() -> Any:
        async with client() as http:
            spec = KeyedEndpoint("far", hostile.url, "m", key, seconds_max, reply_bytes_max)
            return await exchange(http, spec, "/chat/completions", {"model": "m"})

    return asyncio.run(asked())


@pytest.mark.parametrize(
    ("handler", "kind", "said"),
    [
        (raw(b""), "unavailable", "cannot be reached"),
        (raw(b"\x00\xff" * 100), "unavailable", "cannot be reached"),
        (raw(b"HTTP/1.1 200 OK\r\n" + b"A: " + b"x" * 1_000_000), "unavailable", "cannot be reached"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"), "unavailable", "broken off"),
        (answer(b"not json"), "unavailable", "no JSON object"),
        (answer(b"[" * 50_000), "unavailable", "no JSON object"),
        (answer(b"9" * 50_000), "unavailable", "no JSON object"),
        (answer([1]), "unavailable", "no JSON object"),
        (answer({}, "302 Found", Location="http://127.0.0.1:1/"), "unavailable", "redirects"),
        (answer({}, Content_Encoding="gzip"), "unavailable", "packed"),
        (answer(b" " * 100_001), "unavailable", "more than 97 KiB"),
        (drips, "unavailable", "more than 97 KiB"),
        (answer({"error": {"message": "no\x1b[2J"}}, "400 Bad Request"), "refused", "400: no\\e[2J"),
        (answer({"error": "plain"}, "404 Not Found"), "unknown", "404: plain"),
        (answer({"error": {"message": "x", "code": "context_length_exceeded"}}, "400 B"), "context_full", "400: x"),
        (answer({"error": {"message": "x" * 10_000}}, "500 Oh"), "unavailable", "500: xxx"),
        (answer({"error": {"message": "sk-secret is no key"}}, "401 No"), "unavailable", "does not let this run in"),
    ],
)
def test_whatever_comes_is_an_error_of_the_effect(handler: Handler, kind: str, said: str) -> None:
    with endpoint(handler) as hostile, pytest.raises(Refusal) as refused:
        ask(hostile)
    assert refused.value.kind == kind
    assert said in refused.value.message
    assert len(refused.value.message) < 1_000
    assert "sk-secret" not in refused.value.message


def test_an_endpoint_that_says_nothing_is_given_up() -> None:
    with endpoint(hangs) as hostile, pytest.raises(Refusal, match="within 1 s"):
        ask(hostile, seconds_max=1)
    assert len(hostile.requests) == 1


@pytest.mark.parametrize(
    ("first", "asked"),
    [
        (raw(b""), 2),  # the connection has ended before an answer began
        (answer({}, "429 Too Many", Retry_After="0"), 2),
        (answer({}, "503 Not Now"), 2),
        (answer({}, "500 Oh"), 1),
        (answer({}, "502 Oh"), 1),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"), 1),
        (answer(b"not json"), 1),
    ],
)
def test_a_request_is_tried_again_only_while_nobody_has_answered(first: Handler, asked: int) -> None:
    with endpoint(first, says("hello")) as hostile:
        if asked == 1:
            with pytest.raises(Refusal):
                ask(hostile)
        else:
            assert ask(hostile)["choices"][0]["message"]["content"] == "hello"
        assert len(hostile.requests) == asked


def test_it_is_tried_a_bounded_number_of_times() -> None:
    with endpoint(answer({}, "429 Too Many")) as hostile:
        with pytest.raises(Refusal, match="429"):
            ask(hostile)
        assert len(hostile.requests) == exchanges.TRIES_MAX
    with pytest.raises(Refusal, match="cannot be reached"):
        ask(hostile)  # nobody listens there any more


def test_no_cookie_is_kept_and_nothing_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1/")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1/")

    async def twice(hostile: Hostile) -> None:
        async with client() as http:
            for _ in range(2):
                await exchange(http, KeyedEndpoint("far", hostile.url, "m", None, 60, 100_000), "/x", {})

    with endpoint(answer({}, Set_Cookie="id=tracked; Path=/")) as hostile:
        asyncio.run(twice(hostile))
        assert len(hostile.requests) == 2
        assert not any(b"cookie" in request.lower() for request in hostile.requests)
        assert all(b"accept-encoding: identity" in request.lower() for request in hostile.requests)
        assert not any(b"authorization" in request.lower() for request in hostile.requests)


def test_the_key_is_sent_and_told_to_nobody() -> None:
    spec = KeyedEndpoint("far", "http://h/v1", "m", 'k"ey', 60, 1_000)
    with endpoint(says("hello")) as hostile:
        ask(hostile, key="sk-123")
        assert b"authorization: bearer sk-123" in hostile.requests[0].lower()
    text = json.dumps({"ok": {"text": 'your key is k"ey'}})
    assert "ey" not in json.loads(without_key(text, spec))["ok"]["text"].replace("[key]", "").replace("key is", "")
