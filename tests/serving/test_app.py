"""The paths, in this process, with a real inference process behind them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.inference import toy
from turnwise.inference.host.host import InferenceHost
from turnwise.inference.plans.batching import Batching
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.requests.generate_request import GenerateRequest
from turnwise.serving.app import make_app
from turnwise.serving.dispatcher import Dispatcher
from turnwise.system.clock import SYSTEM_CLOCK

WAIT_S_MAX = 60.0
HEADERS = [(b"host", b"localhost"), (b"content-type", b"application/json")]


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A model that talks nonsense without end."""
    return toy.write_attention_folder(tmp_path / "endless", context_length=2048)


def served(
    folder: Path,
    main: Callable[[Any, Dispatcher, InferenceHost], Awaitable[None]],
    *,
    dispatcher: Dispatcher | None = None,
    batching: Batching | None = None,
) -> None:
    """Run `main` with an application that serves a model."""

    dispatcher = Dispatcher(4) if dispatcher is None else dispatcher

    async def run() -> None:
        async with asyncio.timeout(2 * WAIT_S_MAX):
            host = InferenceHost(
                [ModelSpec("endless", folder, "cpu", batching=batching)],
                on_replies=dispatcher.on_replies,
                on_failure=dispatcher.on_failure,
                on_wave=dispatcher.on_wave,
                on_pieces=dispatcher.on_pieces,
            )
            async with host:
                dispatcher.host = host
                await main(make_app(dispatcher, SYSTEM_CLOCK, key=None), dispatcher, host)

    asyncio.run(run())


class Visit:
    """One request, as the server's side of a connection sees it: what is sent, and a client that can go away."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.sent: list[dict[str, Any]] = []
        self.news = asyncio.Event()
        self._gone = asyncio.Event()
        self._body: bytes | None = json.dumps(body).encode()

    def leave(self) -> None:
        self._gone.set()

    async def receive(self) -> dict[str, Any]:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)
        self.news.set()

    async def run(self, app: Any, path: str = "/v1/completions") -> None:
        scope = {
            "type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"",
            "root_path": "", "scheme": "http", "http_version": "1.1", "headers": HEADERS, "asgi": {"version": "3.0"},
        }  # fmt: skip
        await app(scope, self.receive, self.send)


def streamed(visit: Visit) -> str:
    """The text of a streamed answer."""
    events = b"".join(message.get("body", b"") for message in visit.sent).split(b"\n\n")
    chunks = [json.loads(event[6:]) for event in events if event.startswith(b"data: {")]
    return "".join(chunk["choices"][0]["text"] for chunk in chunks)


ENDLESS = {"model": "endless", "prompt": "a", "max_tokens": 1900}


@pytest.mark.parametrize("stream", [False, True])
def test_the_requests_of_a_client_that_goes_away_are_dropped(endless: Path, stream: bool) -> None:
    async def main(app: Any, dispatcher: Dispatcher, host: InferenceHost) -> None:
        visit = Visit(ENDLESS | {"stream": stream, "n": 2})
        running = asyncio.create_task(visit.run(app))
        while not len(dispatcher) or (stream and len(visit.sent) < 3):
            await asyncio.sleep(0)
        assert len(dispatcher) == host.statistics().pending == 2
        visit.leave()
        await running
        assert len(dispatcher) == host.statistics().pending == 0
        assert not any(b"DONE" in message.get("body", b"") for message in visit.sent)
        after = Visit(ENDLESS | {"max_tokens": 3})  # the engine goes on with others
        await after.run(app)
        assert after.sent[0]["status"] == 200
        while host.statistics().running:
            await asyncio.sleep(0)

    served(endless, main)


def test_more_than_may_be_open_are_told_to_come_again(endless: Path) -> None:
    async def main(app: Any, dispatcher: Dispatcher, host: InferenceHost) -> None:
        first = Visit(ENDLESS | {"n": 4})
        running = asyncio.create_task(first.run(app))
        while len(dispatcher) < 4:
            await asyncio.sleep(0)
        second = Visit(ENDLESS)
        await second.run(app)
        assert second.sent[0]["status"] == 429
        assert dict(second.sent[0]["headers"])[b"retry-after"] == b"1"
        assert json.loads(second.sent[1]["body"])["error"]["code"] == "queue_full"
        first.leave()
        await running
        third = Visit(ENDLESS | {"max_tokens": 2})
        await third.run(app)
        assert third.sent[0]["status"] == 200
        never = Visit(ENDLESS | {"n": 5})
        await never.run(app)
        assert never.sent[0]["status"] == 400

    served(endless, main)


def test_a_killed_inference_process_changes_no_stream(endless: Path) -> None:
    async def main(app: Any, dispatcher: Dispatcher, host: InferenceHost) -> None:
        asked = ENDLESS | {"stream": True, "max_tokens": 400}
        undisturbed = Visit(asked)
        await undisturbed.run(app)
        visit = Visit(asked)
        running = asyncio.create_task(visit.run(app))
        while len(visit.sent) < 5:
            await asyncio.sleep(0)
        assert host.pid is not None

        os.kill(host.pid, signal.SIGKILL)
        await running
        assert host.statistics().restarts == 1
        assert streamed(visit) == streamed(undisturbed) != ""

    served(endless, main)


class Careless(Dispatcher):
    """A dispatcher that lets any requests run together."""

    def _needs_wave(self, request: GenerateRequest) -> bool:
        return False


@pytest.mark.parametrize("kind", [Dispatcher, Careless])
def test_a_model_whose_bits_depend_on_its_neighbours_has_none(tmp_path: Path, kind: type[Dispatcher]) -> None:
    folder = toy.write_mixing_folder(tmp_path / "endless")
    asked = [
        {"model": "endless", "prompt": "a" * (number + 1), "max_tokens": 12, "seed": number} for number in range(6)
    ]

    async def main(app: Any, dispatcher: Dispatcher, host: InferenceHost) -> None:
        numeric = host.models["endless"].numeric
        assert numeric is not None
        assert numeric.numeric_class == "plan-bound"

        async def told(request: dict[str, Any]) -> str:
            visit = Visit(request)
            await visit.run(app)
            return streamed(visit)

        requests = [request | {"stream": True} for request in asked]
        alone = [await told(request) for request in requests]
        together = await asyncio.gather(*map(told, requests))
        assert all(alone)
        assert (together == alone) is (kind is Dispatcher)

    served(folder, main, dispatcher=kind(16), batching="free")


def test_models_are_listed_and_found(client: openai.OpenAI) -> None:
    models = client.models.list().data
    assert [found.id for found in models] == ["demo", "tools", "encoder"]
    model = models[0]
    assert (model.id, model.object) == ("demo", "model")
    assert client.models.retrieve("demo") == model
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("other/model")
    assert caught.value.code == "model_not_found"


def test_other_paths_and_methods_get_the_apis_form(client: openai.OpenAI) -> None:
    base = str(client.base_url)
    assert httpx.get(f"{base}nothing").json()["error"]["code"] == "unknown_url"
    wrong = httpx.get(f"{base}chat/completions")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")
    for body in (b"", b"[]", b"{", b'{"model": NaN}', b"[" * 100_000, b'"\xff"'):
        answer = httpx.post(f"{base}chat/completions", content=body, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")


def test_a_large_body_is_refused_however_it_is_sent(client: openai.OpenAI) -> None:
    url, headers = f"{client.base_url}completions", {"content-type": "application/json"}
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=WAIT_S_MAX) as connection:
        head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % 2**40)
        assert connection.recv(12) == b"HTTP/1.1 413"
    chunked = httpx.post(url, headers=headers, content=(b" " * 2**20 for _ in range(17)))
    assert (chunked.status_code, chunked.json()["error"]["code"]) == (413, "body_too_large")
