"""The loop for tool calls: what a model is told, what is called, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from turnwise_guest import ActStep, Call, EffectError, ModelTool, Tool, ToolCall, Turn
from turnwise_guest.testing import make_turn

from .conftest import ENVELOPE, compact, no_bytes

Said = str | list[tuple[str, dict[str, Any]]]
FACTS = {"a": 1}
QUESTION = {"role": "user", "content": "Go"}


def add(a: int, b: int = 3) -> int:
    """Add two numbers."""
    if a == 13:
        raise ValueError("unlucky")
    return a + b


def scripted(*script: Said) -> tuple[Turn, list[dict[str, Any]]]:
    """A turn whose model says this, and the requests it was asked with."""
    said = iter(script)
    asked: list[dict[str, Any]] = []

    def model(request: dict[str, Any]) -> Said:
        asked.append(request)
        return next(said)

    return make_turn(generate=model), asked


def test_it_calls_and_tells_until_there_is_an_answer() -> None:
    t, asked = scripted([("add", {"a": 1}), ("add", {"a": 2, "b": 2})], [("add", {"a": 13})], "It is 4.")
    acted = t.act("m", "Go", tools=[add])
    assert acted.answer == str(acted) == "It is 4."
    assert acted.ended == "answer"
    unlucky = "Error (raised): ValueError: unlucky"
    assert acted.steps == (
        ActStep("", (ToolCall("add", {"a": 1}, "4"), ToolCall("add", {"a": 2, "b": 2}, "4"))),
        ActStep("", (ToolCall("add", {"a": 13}, unlucky, "raised"),)),
    )
    assert [call.result for call in acted.calls] == ["4", "4", unlucky]
    assert acted.messages == [
        QUESTION,
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"id": "call_1_0", "type": "function", "function": {"name": "add", "arguments": {"a": 1}}},
                {"id": "call_1_1", "type": "function", "function": {"name": "add", "arguments": {"a": 2, "b": 2}}},
            ],
        },
        {"role": "tool", "content": "4", "tool_call_id": "call_1_0", "name": "add"},
        {"role": "tool", "content": "4", "tool_call_id": "call_1_1", "name": "add"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "call_4_0", "type": "function", "function": {"name": "add", "arguments": {"a": 13}}}],
        },
        {"role": "tool", "content": unlucky, "tool_call_id": "call_4_0", "name": "add"},
        {"role": "assistant", "content": "It is 4."},
    ]
    assert [len(request["messages"]) for request in asked] == [1, 4, 6]
    assert {request["tokens_max"] for request in asked} == {512}
    assert {request["tool_choice"] for request in asked} == {"auto"}
    assert all(request["tools"] == [ModelTool.of(add).told()] for request in asked)
    assert json.loads(json.dumps(acted.messages)) == acted.messages


def test_it_goes_on_with_a_conversation() -> None:
    t, asked = scripted("One.", "Two.")
    first = t.act("m", "Go", tools=[add], temperature=0.5, tokens_max=9)
    second = t.act("m", [*first.messages, QUESTION], tools=[add])
    assert [message["content"] for message in second.messages] == ["Go", "One.", "Go", "Two."]
    assert (asked[0]["temperature"], asked[0]["tokens_max"]) == (0.5, 9)


def test_the_last_time_it_is_asked_for_an_answer() -> None:
    t, asked = scripted([("add", {"a": 1})], [("add", {"a": 2})], "Enough.")
    acted = t.act("m", "Go", tools=[add], steps_max=3, begin="required")
    assert (acted.ended, len(acted.steps)) == ("steps", 2)
    assert [request["tool_choice"] for request in asked] == ["required", "auto", "none"]


def test_who_may_not_call_at_all_answers() -> None:
    t, asked = scripted("No.")
    assert t.act("m", "Go", tools=[add], steps_max=1).ended == "answer"
    assert asked[0]["tool_choice"] == "none"


def test_the_same_calls_again_are_not_made() -> None:
    """Small models ask for what they have for ever; the results are there, so they are asked for the answer."""
    made: list[int] = []

    def look(at: int) -> str:
        made.append(at)
        return "red"

    t, asked = scripted([("look", {"at": 1})], [("look", {"at": 1})], "Red.")
    acted = t.act("m", "Go", tools=[look])
    assert (acted.ended, acted.answer, made) == ("repeat", "Red.", [1])
    assert [request["tool_choice"] for request in asked] == ["auto", "auto", "none"]
    assert asked[1]["messages"] == asked[2]["messages"]


def replies(*bodies: dict[str, Any]) -> tuple[Turn, list[Any]]:
    """A turn whose effects get these replies, and what it has asked for."""
    given = iter(bodies)
    asked: list[Any] = []

    def effect(request: str) -> str:
        asked.append(json.loads(request))
        return compact(next(given))

    return Turn(dict(ENVELOPE), effect, no_bytes), asked


def ok(text: str, calls: Iterable[tuple[str, Any]] = (), finish: str = "end", **more: Any) -> dict[str, Any]:
    made = [{"tool": tool, "args": args} for tool, args in calls]
    return {"ok": {"text": text, "calls": made, "finish": finish, "tokens": 1, "prompt_tokens": 1, **more}}


def test_an_answer_that_is_cut_off() -> None:
    t, _ = replies(ok("Well", finish="length"))
    assert t.act("m", "Go", tools=[add]).ended == "length"
    t, _ = replies(ok("<call>", [("add", None)], finish="length", said=""))
    acted = t.act("m", "Go", tools=[add])
    assert (acted.answer, acted.ended, acted.steps) == ("", "length", ())
    t, _ = replies(ok("<calls>", [("add", {"a": 1}), ("add", None)], finish="length", said="So:"), ok("4"))
    acted = t.act("m", "Go", tools=[add])
    assert (acted.answer, acted.steps) == ("4", (ActStep("So:", (ToolCall("add", {"a": 1}, "4"),)),))


def test_arguments_that_are_no_value_and_tools_that_are_not_there_are_told() -> None:
    t, _ = replies(ok("", [("add", None), ("sub", {"a": 1})]), ok("Sorry."))
    acted = t.act("m", "Go", tools=[add])
    assert [(call.error, call.result) for call in acted.calls] == [
        ("invalid", "Error (invalid): the arguments are no JSON object that can be read"),
        ("unknown_tool", "Error (unknown_tool): there is no tool 'sub'"),
    ]
    calls = acted.messages[1]["tool_calls"]
    assert [call["function"]["arguments"] for call in calls] == [{}, {"a": 1}]


def test_tools_of_the_world_are_called_at_once() -> None:
    results = [
        {"ok": {"text": "sunny"}},
        {"ok": {"text": "", "data": {"b": 1, "a": 2}}},
        {"error": {"kind": "unavailable", "message": "gone"}},
    ]
    asked_for: list[tuple[str, Any]] = [("w.look", {"at": 1}), ("add", {"a": 1}), ("w.look", {"at": 2}), ("w.go", {})]
    t, asked = replies(ok("", asked_for), {"results": results}, ok("Done."))
    acted = t.act("m", "Go", tools=[add, ModelTool("w.look", parameters={"type": "object"}), ModelTool("w.go")])
    assert asked[1] == {
        "effects": [{"effect": "call", "tool": tool, "args": args} for tool, args in asked_for if tool != "add"]
    }
    assert [(call.tool, call.result, call.error) for call in acted.calls] == [
        ("w.look", "sunny", None),
        ("add", "4", None),
        ("w.look", '{"a":2,"b":1}', None),
        ("w.go", "Error (unavailable): gone", "unavailable"),
    ]


LISTED = [Tool(name, f"Do {name}.", {"type": "object"}) for name in ("files.list", "files.read", "shop.price")]


@pytest.mark.parametrize(
    ("named", "told"),
    [
        (["files.read"], ["files.read"]),
        (["files.*"], ["files.list", "files.read"]),
        (["files"], ["files.list", "files.read"]),
        ("files", ["files.list", "files.read"]),
        (["shop.p*", add, "*.read"], ["shop.price", "add", "files.read"]),
        (["files.read", "files"], ["files.read", "files.list"]),
        ([LISTED[2], {"name": "own.tool"}], ["shop.price", "own.tool"]),
    ],
)
def test_tools_of_the_world_are_named(named: Any, told: list[str]) -> None:
    called: list[tuple[str, Any]] = []
    script = iter([[(name, {"a": 1}) for name in told], "Done."])
    asked: list[dict[str, Any]] = []

    def model(request: dict[str, Any]) -> Said:
        asked.append(request)
        return next(script)

    def call(tool: str, args: dict[str, Any]) -> str:
        called.append((tool, args))
        return f"{tool} is done"

    t = make_turn(generate=model, call=call, tools=LISTED)
    acted = t.act("m", "Go", tools=named)
    assert [tool["name"] for tool in asked[0]["tools"]] == told
    assert asked[0]["tools"][0]["description"] == f"Do {told[0]}."
    assert called == [(name, {"a": 1}) for name in told if name != "add"]
    assert [made.result for made in acted.calls] == ["4" if name == "add" else f"{name} is done" for name in told]


def test_a_name_that_no_tool_has_is_the_agents_mistake() -> None:
    t = make_turn(tools=LISTED, generate=lambda _: "Done.")
    with pytest.raises(ValueError, match=r"named 'file'; there are: files.list, files.read, shop.price"):
        t.act("m", "Go", tools=["file"])


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ("x" * 100, "x" * 100),
        ("x" * 101, "x" * 100 + "… (1 more characters)"),
        ({"b": [1], "a": None}, '{"a":null,"b":[1]}'),
    ],
)
def test_results_are_text_and_bounded(result: Any, told: str) -> None:
    def give() -> Any:
        return result

    t, _ = scripted([("give", {})], "Done.")
    assert t.act("m", "Go", tools=[give], result_chars_max=100).calls[0].result == told


def test_a_result_that_is_no_text_is_an_error() -> None:
    t, _ = scripted([("give", {})], "Done.")
    (call,) = t.act("m", "Go", tools=[ModelTool("give", function=lambda: {1})]).calls
    assert call.error == "raised"
    assert call.result.startswith("Error (raised): NotJSON: the result is a set, which is not a JSON value")


def test_what_cannot_be_asked_is_raised() -> None:
    def full(_: dict[str, Any]) -> Said:
        raise EffectError("context_full", "too long")

    with pytest.raises(EffectError, match="too long"):
        make_turn(generate=full).act("m", "Go", tools=[add])


@pytest.mark.parametrize(
    ("wrong", "error", "told"),
    [
        ({"steps_max": 0}, ValueError, "steps_max is at least 1, not 0"),
        ({"steps_max": True}, TypeError, "steps_max is a whole number"),
        ({"result_chars_max": 0}, ValueError, "result_chars_max is at least 1"),
        ({"begin": "none"}, ValueError, "begin is 'auto' or 'required'"),
        ({"begin": "required", "steps_max": 1}, ValueError, "steps_max is at least 2"),
        ({"tool_choice": "none"}, TypeError, "act chooses tool_choice by itself"),
        ({"tools": [add, add]}, ValueError, "two of the tools are called 'add'"),
        ({"tools": [3]}, TypeError, "a tool is a Tool, a ModelTool, a function"),
        ({"regex": "a"}, ValueError, "regex and tools are given"),
        ({"goal": [{"role": "user"}]}, TypeError, "messages\\[0\\]"),
    ],
)
def test_wrong_calls_are_named(wrong: dict[str, Any], error: type[Exception], told: str) -> None:
    t, asked = scripted("Hello")
    with pytest.raises(error, match=told):
        t.act(**{"model": "m", "goal": "Go", "tools": [add], **wrong})
    assert asked == []


def test_an_agent_can_have_a_loop_of_its_own() -> None:
    t, asked = scripted([("add", {"a": 1})], "4")
    answer = t.generate("m", messages=[QUESTION], tools=[add], tool_choice="required", calls_max=1)
    assert (answer.text, answer.calls) == ("", (Call("add", {"a": 1}),))
    assert (asked[0]["tool_choice"], asked[0]["calls_max"]) == ("required", 1)
    only = {"mode": "auto", "tools": ["add"]}
    assert t.generate("m", messages=[QUESTION], tools=[add], tool_choice=only).calls == ()
    assert asked[1]["tool_choice"] == only
    with pytest.raises(TypeError, match="tool_choice goes with tools"):
        t.generate("m", messages=[QUESTION], tool_choice="auto")
    with pytest.raises(TypeError, match="tools goes with a conversation"):
        t.generate("m", "Go", tools=[add])
    with pytest.raises(ValueError, match="tool_choice is 'auto'"):
        t.generate("m", messages=[QUESTION], tools=[add], tool_choice="always")
