from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest
from mcp import types

from tests.tools.kinds.mcp.serving import command, started
from turnwise.tools.kinds.mcp import open_calls
from turnwise.tools.kinds.mcp.open_calls import OpenCall, OpenCalls
from turnwise.tools.server import ToolAnswers, ToolQuestions, ToolResult, ToolUnavailableError

pytestmark = pytest.mark.anyio

CONTEXT: Any = None
"""What comes with a question; nothing of it is looked at."""


def form(text: str) -> types.ElicitRequestFormParams:
    fields: Any = {"type": "object", "properties": {"a": {"type": "string"}}}
    return types.ElicitRequestFormParams(message=text, requested_schema=fields)


def said(text: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)])


class Caller:
    """A call that ends when it is told to."""

    def __init__(self) -> None:
        self.end = asyncio.Event()

    async def __call__(self, call: OpenCall) -> types.CallToolResult:
        await self.end.wait()
        return said("done")


async def settled() -> None:
    """Let everything that can go on go on."""
    for _ in range(20):
        await asyncio.sleep(0)


async def asked_without_call(calls: OpenCalls, text: str) -> asyncio.Task[Any]:
    """A question that comes on nobody's stream."""
    return asyncio.create_task(calls.elicit(CONTEXT, form(text)), context=contextvars.Context())


async def test_a_question_is_that_of_the_only_call() -> None:
    calls, one = OpenCalls(), Caller()
    made = asyncio.create_task(calls.make(one))
    await settled()
    question = await asked_without_call(calls, "Which?")
    asked = await made
    assert isinstance(asked, ToolQuestions)
    assert asked.questions[0].text == "Which?"
    going = asyncio.create_task(calls.go_on(asked.state, {"answer": {"a": "b"}}))
    assert await question == types.ElicitResult(action="accept", content={"a": "b"})
    one.end.set()
    assert await going == said("done")


async def test_a_question_waits_until_only_one_call_can_have_asked_it() -> None:
    calls, one, two = OpenCalls(), Caller(), Caller()
    first, second = asyncio.create_task(calls.make(one)), asyncio.create_task(calls.make(two))
    await settled()
    question = await asked_without_call(calls, "Which?")
    await settled()
    assert not first.done()
    assert not second.done()
    two.end.set()
    assert await second == said("done")
    asked = await first
    assert isinstance(asked, ToolQuestions)
    assert not question.done()
    await calls.close()


async def test_a_call_that_waits_for_an_answer_has_asked_no_other_question() -> None:
    calls, one, two = OpenCalls(), Caller(), Caller()
    first = asyncio.create_task(calls.make(one))
    await settled()
    await asked_without_call(calls, "First?")
    assert isinstance(await first, ToolQuestions)
    second = asyncio.create_task(calls.make(two))
    await settled()
    await asked_without_call(calls, "Second?")
    asked = await second
    assert isinstance(asked, ToolQuestions)
    assert asked.questions[0].text == "Second?"
    await calls.close()


async def test_questions_that_may_be_of_several_calls_are_refused() -> None:
    calls, one, two = OpenCalls(), Caller(), Caller()
    both = [asyncio.create_task(calls.make(one)), asyncio.create_task(calls.make(two))]
    await settled()
    questions = [await asked_without_call(calls, "First?"), await asked_without_call(calls, "Second?")]
    for question in questions:
        refused = await question
        assert isinstance(refused, types.ErrorData)
        assert "calls_at_once = 1" in refused.message
    assert not any(call.done() for call in both)
    await calls.close()


async def test_the_only_call_may_ask_two_questions_at_once() -> None:
    calls, one = OpenCalls(), Caller()
    made = asyncio.create_task(calls.make(one))
    await settled()
    questions = [await asked_without_call(calls, "First?"), await asked_without_call(calls, "Second?")]
    asked = await made
    assert isinstance(asked, ToolQuestions)
    asked = await calls.go_on(asked.state, {"answer": {"a": "1"}})
    assert isinstance(asked, ToolQuestions)
    assert asked.questions[0].text == "Second?"
    going = asyncio.create_task(calls.go_on(asked.state, {"answer": {"a": "2"}}))
    assert [(await question).content for question in questions] == [{"a": "1"}, {"a": "2"}]
    one.end.set()
    assert await going == said("done")


async def test_the_oldest_call_that_waits_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_calls, "OPEN_CALLS_MAX", 2)
    calls = OpenCalls()
    states = []
    for number in range(3):
        made = asyncio.create_task(calls.make(Caller()))
        await settled()
        await asked_without_call(calls, f"{number}?")
        asked = await made
        assert isinstance(asked, ToolQuestions)
        states.append(asked.state)
    await settled()
    with pytest.raises(ToolUnavailableError, match="gone"):
        await calls.go_on(states[0], {})
    for state in states[1:]:
        task = asyncio.create_task(calls.go_on(state, {}))
        await settled()
        assert not task.done()
        task.cancel()
    await calls.close()


async def test_a_command_of_the_older_era_asks_for_the_right_call() -> None:
    async with started({**command("small.py"), "revision": "2025-11-25"}) as server:
        asking = asyncio.create_task(server.call("ask", {"what": "hat"}))
        adding = [server.call("add", {"a": number, "b": 1}) for number in range(5)]
        assert [one.text for one in await asyncio.gather(*adding) if isinstance(one, ToolResult)] == [*"12345"]
        asked = await asking
        assert isinstance(asked, ToolQuestions)
        told = await server.call("ask", {"what": "hat"}, ToolAnswers({"answer": {"size": "M"}}, asked.state))
        assert told == ToolResult("3 M", {"result": "3 M"})
