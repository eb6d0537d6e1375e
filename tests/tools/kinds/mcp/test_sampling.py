"""Requests of a server to models, as they leave its process, and the answers as it gets them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from mcp import types

from tests.tools.kinds.mcp.servers.author import make_server
from tests.tools.kinds.mcp.serving import command, over_http, started
from turnwise.tools.kinds.mcp.sampling import (
    HINT_CHARS_MAX,
    HINTS_MAX,
    MESSAGES_MAX,
    TEXT_CHARS_MAX,
    SamplingError,
    result_of,
    sample_of,
)
from turnwise.tools.server import ToolAnswers, ToolQuestions, ToolResult, ToolSample, ToolSamples

pytestmark = pytest.mark.anyio

GRANTED = {"sampling": {"models": ["m"], "requests_max": 3}}
SAID = {"ok": {"text": "hi", "finish": "end"}, "model": "m"}


def params(*texts: str, **members: Any) -> types.CreateMessageRequestParams:
    messages = [types.SamplingMessage(role="user", content=types.TextContent(type="text", text=text)) for text in texts]
    return types.CreateMessageRequestParams(messages=messages, **{"max_tokens": 5, **members})


def test_all_that_a_server_says_is_in_the_request_and_nothing_else() -> None:
    hints = types.ModelPreferences(hints=[types.ModelHint(name="large"), types.ModelHint()], cost_priority=1)
    asked = params(
        "a",
        system_prompt="s",
        temperature=0.5,
        stop_sequences=["x"],
        model_preferences=hints,
        include_context="none",
        metadata={"any": "thing"},
    )
    assert sample_of("k", asked) == ToolSample(
        "k",
        {
            "messages": [{"role": "user", "content": "a"}],
            "system": "s",
            "temperature": 0.5,
            "stop": ["x"],
            "tokens_max": 5,
        },
        ("large",),
    )


def test_several_texts_of_a_message_are_its_lines() -> None:
    texts: list[Any] = [types.TextContent(type="text", text=text) for text in "ab"]
    asked = types.CreateMessageRequestParams(
        messages=[types.SamplingMessage(role="assistant", content=texts)], max_tokens=0
    )
    assert sample_of("k", asked).request == {
        "messages": [{"role": "assistant", "content": "a\nb"}],
        "tokens_max": 1,
    }


IMAGE = types.ImageContent(type="image", data="aGk=", mime_type="image/png")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (params(), "1 to 1,024 messages"),
        (params("x" * TEXT_CHARS_MAX, "y"), "at most 262,144 characters, not 262,145"),
        (params("x", system_prompt="y" * TEXT_CHARS_MAX), "at most 262,144 characters"),
        (params("x", stop_sequences=["y" * TEXT_CHARS_MAX]), "at most 262,144 characters"),
        (params(*["x"] * (MESSAGES_MAX + 1)), "1 to 1,024 messages, not 1,025"),
        (params("a", include_context="allServers"), "nothing of the run"),
        (params("a", tools=[types.Tool(name="t", input_schema={"type": "object"})]), "with tools"),
        (params("a", tool_choice=types.ToolChoice(mode="none")), "with tools"),
        (
            types.CreateMessageRequestParams(
                messages=[types.SamplingMessage(role="user", content=IMAGE)], max_tokens=5
            ),
            "content of the type image",
        ),
    ],
)
def test_what_is_no_request_for_text_is_refused(asked: types.CreateMessageRequestParams, said: str) -> None:
    with pytest.raises(SamplingError, match=said):
        sample_of("k", asked)
    with pytest.raises(SamplingError, match="at most 128"):
        sample_of("k" * 129, params("a"))


def test_hints_are_bounded() -> None:
    hints = [types.ModelHint(name="x" * 10_000) for _ in range(100)]
    asked = sample_of("k", params("a", model_preferences=types.ModelPreferences(hints=hints)))
    assert asked.hints == ("x" * HINT_CHARS_MAX,) * HINTS_MAX


@pytest.mark.parametrize(
    ("finish", "reason"),
    [("end", "endTurn"), ("stop", "stopSequence"), ("length", "maxTokens"), (None, None)],
)
def test_an_answer_says_which_model_gave_it_and_how_it_ended(finish: str | None, reason: str | None) -> None:
    told = result_of({"k": {"ok": {"text": "hi", "finish": finish}, "model": "m"}}, "k")
    assert told == types.CreateMessageResult(
        role="assistant", content=types.TextContent(type="text", text="hi"), model="m", stop_reason=reason
    )


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({}, "no model has answered"),
        ({"k": {"error": {"kind": "invalid", "message": "why"}, "model": "m"}}, "has not answered: invalid: why"),
        ({"k": {"ok": {"text": 5}, "model": "m"}}, "is no text"),
        ({"k": {}}, "is no text"),
    ],
)
def test_an_answer_that_is_none_is_told(answers: dict[str, Any], said: str) -> None:
    with pytest.raises(SamplingError, match=said):
        result_of(answers, "k")


# -- with real servers -------------------------------------------------------------------------------------------


async def answered(
    server: Any, tool: str, args: dict[str, Any], answer: dict[str, Any] = SAID
) -> tuple[Any, list[Any]]:
    """Call a tool, and answer for models and people; return the result, and what was asked."""
    told, seen = await server.call(tool, args), []
    while not isinstance(told, ToolResult):
        seen.append(told)
        if isinstance(told, ToolSamples):
            answers: dict[str, Any] = {one.key: answer for one in told.samples}
        else:
            answers = {one.key: {"sure": True} for one in told.questions}
        told = await server.call(tool, args, ToolAnswers(answers, told.state))
    return told, seen


@pytest.mark.parametrize("revision", ["auto", "2025-11-25"])
async def test_a_command_asks_models_and_people_in_one_call(tmp_path: Path, revision: str) -> None:
    settings = {**command("author.py", str(tmp_path / "noted")), "revision": revision, **GRANTED}
    async with started(settings) as server:
        told, seen = await answered(server, "asked", {"what": "fox"})
        assert told == ToolResult("m: hi (endTurn)", {"result": "m: hi (endTurn)"})
        assert [type(one) for one in seen].count(ToolQuestions) == 1
        texts = [
            one.request["messages"][0]["content"]
            for told in seen
            if isinstance(told, ToolSamples)
            for one in told.samples
        ]
        assert texts == ["The fox was", "m: hi (endTurn)"]
    assert (tmp_path / "noted").read_text() == "asked\n"


@pytest.mark.parametrize("revision", ["auto", "2025-11-25"])
async def test_two_calls_over_http_have_their_own_answers(tmp_path: Path, revision: str) -> None:
    with over_http(make_server(tmp_path / "noted")) as url:
        async with started({"url": url, "revision": revision, **GRANTED}) as server:
            whats = ("fox", "owl")
            answers = [{"ok": {"text": f"for {what}", "finish": "end"}, "model": "m"} for what in whats]
            calls = [answered(server, "open_", {"what": w}, answer) for w, answer in zip(whats, answers, strict=True)]
            results = [told.text for told, _ in await asyncio.gather(*calls)]
    assert results == ["m: for fox (endTurn)", "m: for owl (endTurn)"]


@pytest.mark.parametrize("revision", ["auto", "2025-11-25"])
async def test_a_model_that_does_not_answer_fails_the_call(tmp_path: Path, revision: str) -> None:
    settings = {**command("author.py", str(tmp_path / "noted")), "revision": revision, **GRANTED}
    async with started(settings) as server:
        refused = {"error": {"kind": "invalid", "message": "too long"}, "model": "m"}
        told, _ = await answered(server, "open_", {"what": "fox"}, refused)
    assert told.is_error
    assert "has not answered: invalid: too long" in told.text
    assert not (tmp_path / "noted").exists()


@pytest.mark.parametrize("revision", ["auto", "2025-11-25"])
async def test_without_a_grant_no_model_is_asked(tmp_path: Path, revision: str) -> None:
    settings = {**command("author.py", str(tmp_path / "noted")), "revision": revision}
    async with started(settings) as server:
        told = await server.call("open_", {"what": "fox"})
    assert isinstance(told, ToolResult)
    assert told.is_error
    assert not (tmp_path / "noted").exists()


async def test_requests_without_end_are_refused_to_a_server_of_the_older_era() -> None:
    async with started({**command("raw.py", "samples without end"), **GRANTED}) as server:
        told, seen = await answered(server, "echo", {})
    assert len(seen) == 3
    assert told.text == "stopped at 3: a call can ask models at most 3 times (sampling.requests_max)"


async def test_a_request_outside_of_a_call_is_put_to_no_model() -> None:
    async with started({**command("raw.py", "samples outside"), **GRANTED}) as server:
        assert [spec.name for spec in await server.tools()] == ["echo"]
        assert await server.call("echo", {}) == ToolResult("{}")
