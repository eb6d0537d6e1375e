from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.tools.kinds.mcp.servers.small import make_server
from tests.tools.kinds.mcp.serving import command, over_http, started
from turnwise.tools.kinds.mcp.tool_server import McpServer
from turnwise.tools.server import ToolAnswers, ToolQuestions, ToolResult, ToolUnavailableError

pytestmark = pytest.mark.anyio

REVISIONS = ("2026-07-28", "2025-11-25")


class Small:
    """The small server over HTTP, and what became of calls of its `wait`."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.cancelled: list[str] = []
        self.url = ""


@pytest.fixture(scope="module")
def small() -> Iterator[Small]:
    one = Small()
    with over_http(make_server(one.started, one.cancelled)) as one.url:
        yield one


@pytest.fixture(params=REVISIONS)
def revision(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@asynccontextmanager
async def at(small: Small, revision: str) -> AsyncIterator[McpServer]:
    async with started({"url": small.url, "revision": revision}) as server:
        yield server


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition."""
    end = time.monotonic() + 60
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        await asyncio.sleep(0.01)


def questions(asked: ToolResult | ToolQuestions) -> ToolQuestions:
    assert isinstance(asked, ToolQuestions)
    return asked


def answered(asked: ToolResult | ToolQuestions, *values: Any) -> ToolAnswers:
    """The questions answered in order; the last ones are left unanswered."""
    one = questions(asked)
    return ToolAnswers({q.key: value for q, value in zip(one.questions, values, strict=False)}, one.state)


async def test_tools_and_their_results_are_the_same_in_both_eras(small: Small, revision: str) -> None:
    async with at(small, revision) as server:
        specs = {spec.name: spec for spec in await server.tools()}
        assert specs["add"].description == "Add two numbers."
        assert specs["add"].input_schema is not None
        assert specs["add"].input_schema["required"] == ["a", "b"]
        assert specs["add"].output_schema is not None
        assert specs["add"].output_schema["required"] == ["result"]
        assert await server.call("add", {"a": 2, "b": 3}) == ToolResult("5", {"result": 5})
        assert await server.call("fail", {}) == ToolResult("Error executing tool fail: no luck today", is_error=True)
        unknown = await server.call("nothing", {})
        assert isinstance(unknown, ToolResult)
        assert unknown.is_error
        assert "nothing" in unknown.text


async def test_content_that_is_no_text_is_named_by_its_type_and_size(small: Small) -> None:
    async with at(small, "auto") as server:
        shown = await server.call("show", {})
    assert isinstance(shown, ToolResult)
    assert shown.text.split("\n") == [
        "a text",
        "[image image/png, 5 bytes]",
        "[audio audio/wav, 6 bytes]",
        "[link notes: file:///notes.txt]",
        "[resource file:///a.txt]",
        "inside",
        "[resource file:///a\\e.bin, of no type, 4 bytes]",
    ]


async def test_a_server_asks_people_in_the_middle_of_a_call(small: Small, revision: str) -> None:
    async with at(small, revision) as server:
        asked = await server.call("ask", {"what": "shirt"})
        [question] = questions(asked).questions
        assert question.text == "Which size of shirt?"
        form, none = question.schema["anyOf"]
        assert none == {"type": "null"}
        assert form["properties"].keys() == {"size", "count"}
        for answer, result in (
            ({"size": "big", "count": 7}, "7 big"),
            ({"size": "small"}, "3 small"),  # what is left out is filled in
            (None, "decline"),
        ):
            asked = await server.call("ask", {"what": "shirt"})
            told = await server.call("ask", {"what": "shirt"}, answered(asked, answer))
            assert told == ToolResult(result, {"result": result})
        asked = await server.call("ask", {"what": "shirt"})
        told = await server.call("ask", {"what": "shirt"}, answered(asked))
        assert told == ToolResult("cancel", {"result": "cancel"})


async def test_a_question_with_nothing_to_fill_in_is_yes_or_no(small: Small, revision: str) -> None:
    async with at(small, revision) as server:
        for answer, result in ((True, "accept"), (False, "decline")):
            asked = await server.call("confirm", {})
            assert questions(asked).questions[0].schema == {"type": "boolean"}
            assert await server.call("confirm", {}, answered(asked, answer)) == ToolResult(result, {"result": result})


async def test_the_state_of_a_stateless_server_outlasts_the_connection(small: Small) -> None:
    async with at(small, "2026-07-28") as server:
        asked = await server.call("ask", {"what": "hat"})
    async with at(small, "2026-07-28") as server:
        told = await server.call("ask", {"what": "hat"}, answered(asked, {"size": "M"}))
    assert told == ToolResult("3 M", {"result": "3 M"})


async def test_a_call_that_a_server_keeps_open_ends_with_the_connection(small: Small) -> None:
    async with at(small, "2025-11-25") as server:
        asked = await server.call("ask", {"what": "hat"})
    async with at(small, "2025-11-25") as server:
        with pytest.raises(ToolUnavailableError, match="the call that asked is gone"):
            await server.call("ask", {"what": "hat"}, answered(asked, {"size": "M"}))


async def test_questions_of_calls_at_once_go_to_the_right_calls(small: Small, revision: str) -> None:
    async with at(small, revision) as server:
        names = [f"thing {number}" for number in range(8)]
        asked = await asyncio.gather(*[server.call("ask", {"what": name}) for name in names])
        assert [questions(one).questions[0].text for one in asked] == [f"Which size of {name}?" for name in names]
        told = await asyncio.gather(
            *[
                server.call("ask", {"what": name}, answered(one, {"size": name}))
                for name, one in zip(names, asked, strict=True)
            ]
        )
        assert [one.text for one in told if isinstance(one, ToolResult)] == [f"3 {name}" for name in names]


async def test_a_page_to_visit_is_a_question_after_which_the_call_is_made_again(small: Small) -> None:
    async with at(small, "2025-11-25") as server:
        asked = await server.call("visit", {"page": "one"})
        [question] = questions(asked).questions
        assert "https://example.com/one" in question.text
        told = await server.call("visit", {"page": "one"}, answered(asked, True))
        assert told == ToolResult("signed in", {"result": "signed in"})
        asked = await server.call("visit", {"page": "two"})
        told = await server.call("visit", {"page": "two"}, answered(asked, False))
        assert told == ToolResult("the page that the tool needs was not visited", is_error=True)


@pytest.mark.parametrize("tool", ["sample", "roots"])
async def test_models_and_folders_are_not_offered(small: Small, revision: str, tool: str) -> None:
    async with at(small, revision) as server:
        told = await server.call(tool, {})
    assert isinstance(told, ToolResult)
    assert told.is_error


async def test_a_call_that_is_cancelled_is_cancelled_at_the_server(small: Small, revision: str) -> None:
    async with at(small, revision) as server:
        task = asyncio.ensure_future(server.call("wait", {"name": revision}))
        await until(lambda: revision in small.started)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: revision in small.cancelled)
        assert await server.call("add", {"a": 1, "b": 1}) == ToolResult("2", {"result": 2})


async def test_a_list_that_changes_is_told(revision: str) -> None:
    with over_http(make_server()) as url:
        async with started({"url": url, "revision": "auto" if revision == "2026-07-28" else revision}) as server:
            changed = asyncio.Event()
            server.on_change = changed.set
            before = {spec.name for spec in await server.tools()}
            await server.call("grow", {})
            await asyncio.wait_for(changed.wait(), 60)
            assert {spec.name for spec in await server.tools()} - before == {"grown"}


async def test_a_command_gets_the_environment_and_the_folder_that_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.setenv("LISTED", "yes")
    monkeypatch.delenv("HOME", raising=False)
    async with started({**command("small.py"), "folder": "work"}, tmp_path) as server:
        told = await server.call("surroundings", {})
        assert isinstance(told, ToolResult)
        assert Path(told.data["folder"]) == tmp_path / "work"
        assert told.data["environment"]["LISTED"] == "yes"
        assert "HOME" not in told.data["environment"]  # which the transport of the SDK would add
        died = asyncio.Event()
        server.on_change = died.set
        with pytest.raises(ToolUnavailableError, match="the connection has ended during the call"):
            await server.call("die", {})
        await asyncio.wait_for(died.wait(), 60)
        with pytest.raises(ToolUnavailableError, match="closed the connection"):
            await server.tools()


async def test_a_program_that_is_not_there_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PATH")
    with pytest.raises(ToolUnavailableError, match="its environment has no PATH"):
        async with started({"command": "no-such-program"}):
            pass
