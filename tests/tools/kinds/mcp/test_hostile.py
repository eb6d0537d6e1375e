"""Servers that do harm: what they send is bounded, and what they do ends with the connection."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.tools.kinds.mcp.serving import command, listening, started
from turnwise.tools.kinds.mcp import http, stdio
from turnwise.tools.server import ToolAnswers, ToolQuestions, ToolResult, ToolUnavailableError

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("hostility", "said"),
    [
        ("endless line", "a message of more than 65,536 bytes"),
        ("endless messages", "without answering anything"),
        ("garbage", "lines of its output are no messages"),
        ("die", "has closed the connection"),
    ],
)
async def test_output_without_end_ends_the_connection(
    hostility: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stdio, "UNASKED_BYTES_MAX", 1_000_000)
    async with started({**command("raw.py", hostility), "message_kib_max": 64}) as server:
        lost = asyncio.Event()
        server.on_change = lost.set
        with pytest.raises(ToolUnavailableError):
            await server.call("echo", {})
        await asyncio.wait_for(lost.wait(), 60)
        with pytest.raises(ToolUnavailableError, match=said):
            await server.tools()


@pytest.mark.parametrize(
    ("hostility", "said"),
    [
        ("pages without end", "more than 64 pages"),
        ("huge list", "more than 1,024 tools"),
        ("no list", "cannot be listed"),
    ],
)
async def test_lists_without_end_are_given_up(hostility: str, said: str) -> None:
    async with started(command("raw.py", hostility)) as server:
        with pytest.raises(ToolUnavailableError, match=said):
            await server.tools()


async def test_a_list_of_several_pages_is_read_whole() -> None:
    async with started(command("raw.py", "two pages")) as server:
        assert [spec.name for spec in await server.tools()] == ["echo0", "echo1"]


async def test_a_little_garbage_does_no_harm() -> None:
    async with started(command("raw.py", "some garbage")) as server:
        assert await server.call("echo", {"a": 1}) == ToolResult('{"a": 1}')


async def test_questions_without_end_are_refused() -> None:
    async with started(command("raw.py", "questions without end")) as server:
        told = await server.call("echo", {})
        count = 0
        while isinstance(told, ToolQuestions):
            count += 1
            told = await server.call("echo", {}, ToolAnswers({"answer": {"a": "b"}}, told.state))
        assert told == ToolResult("stopped at 64: a call can ask at most 64 questions")
        assert count == 64


async def test_a_form_that_no_answer_can_be_checked_with_is_refused() -> None:
    async with started(command("raw.py", "form of its own")) as server:
        told = await server.call("echo", {})
    assert isinstance(told, ToolResult)
    assert told.text.startswith("a form cannot be checked: type cannot be")


async def test_a_question_outside_of_a_call_is_put_to_nobody() -> None:
    async with started(command("raw.py", "asks outside")) as server:
        assert [spec.name for spec in await server.tools()] == ["echo"]
        assert await server.call("echo", {}) == ToolResult("{}")


async def test_a_stubborn_server_is_ended() -> None:
    async with started(command("raw.py", "stubborn")) as server:
        task = asyncio.ensure_future(server.call("echo", {}))
        await asyncio.sleep(0)
    with pytest.raises((asyncio.CancelledError, ToolUnavailableError)):
        await task


# -- over HTTP ---------------------------------------------------------------------------------------------------


Answer = Callable[[Request, dict[str, object]], Awaitable[Response]]


def application(answer: Answer) -> Starlette:
    """A server of the handshake era, which answers calls as `answer` does."""

    async def take(request: Request) -> Response:
        if request.method != "POST":
            return Response(status_code=405)
        message = await request.json()
        match message.get("method"):
            case "initialize":
                info = {"name": "raw", "version": "1"}
                result = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}
                return JSONResponse({"jsonrpc": "2.0", "id": message["id"], "result": result})
            case "tools/call":
                return await answer(request, message)
            case "notifications/initialized" | "notifications/cancelled":
                return Response(status_code=202)
        return JSONResponse({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "None"}})

    return Starlette(routes=[Route("/mcp", take, methods=["GET", "POST", "DELETE"])])


def result_of(message: dict[str, object], text: str) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": message["id"], "result": {"content": [{"type": "text", "text": text}]}}


async def endless_body(_request: Request, _message: dict[str, object]) -> Response:
    async def parts() -> object:
        while True:
            yield b" " * 65536
            await asyncio.sleep(0)  # or it would never hear that nobody listens any more

    return StreamingResponse(parts(), media_type="application/json")  # type: ignore[arg-type]


async def endless_events(_request: Request, _message: dict[str, object]) -> Response:
    async def parts() -> object:
        while True:
            yield b": nothing\n\n" * 1000
            await asyncio.sleep(0)  # or it would never hear that nobody listens any more

    return StreamingResponse(parts(), media_type="text/event-stream")  # type: ignore[arg-type]


async def endless_event(_request: Request, _message: dict[str, object]) -> Response:
    async def parts() -> object:
        yield b"data: "
        while True:
            yield b"x" * 65536
            await asyncio.sleep(0)  # or it would never hear that nobody listens any more

    return StreamingResponse(parts(), media_type="text/event-stream")  # type: ignore[arg-type]


async def compressed(_request: Request, message: dict[str, object]) -> Response:
    body = gzip.compress(b'{"jsonrpc":"2.0"' + b" " * 100_000 + b"}")
    return Response(body, media_type="application/json", headers={"content-encoding": "gzip"})


async def other_host(_request: Request, _message: dict[str, object]) -> Response:
    return RedirectResponse("http://192.0.2.1/mcp", status_code=307)


async def refusal(_request: Request, _message: dict[str, object]) -> Response:
    return Response("who are you?", status_code=401)


async def no_json(_request: Request, _message: dict[str, object]) -> Response:
    return Response("<html>", media_type="text/html")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (endless_body, "more for one answer than is taken"),
        (endless_events, "more for one answer than is taken"),
        (endless_event, "SSE stream failed"),
        (compressed, "is compressed"),
        (refusal, "401 Unauthorized"),
    ],
)
async def test_an_answer_without_end_ends_its_call_alone(
    answer: Answer, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "BODY_BYTES_MAX", 1_000_000)
    calls = []

    async def once(request: Request, message: dict[str, object]) -> Response:
        calls.append(message)
        return await answer(request, message) if len(calls) == 1 else JSONResponse(result_of(message, "well"))

    with listening(application(once)) as port:
        settings = {"url": f"http://127.0.0.1:{port}/mcp", "revision": "2025-11-25", "message_kib_max": 64}
        async with started(settings) as server:
            with pytest.raises(ToolUnavailableError, match=said):
                await server.call("echo", {})
            assert await server.call("echo", {}) == ToolResult("well")
            assert len(calls) == 2


@pytest.mark.parametrize(("answer", "said"), [(other_host, "192.0.2.1/mcp not followed"), (no_json, "text/html")])
async def test_an_answer_from_elsewhere_is_none(answer: Answer, said: str) -> None:
    with listening(application(answer)) as port:
        async with started({"url": f"http://127.0.0.1:{port}/mcp"}) as server:
            told = await server.call("echo", {})
    assert isinstance(told, ToolResult)
    assert told.is_error
    assert said in told.text


async def test_a_server_that_is_not_there_is_told() -> None:
    with listening(application(refusal)) as port:
        pass
    with pytest.raises(ToolUnavailableError, match=r"there is no connection to 127\.0\.0\.1"):
        async with started({"url": f"http://127.0.0.1:{port}/mcp"}):
            pass
