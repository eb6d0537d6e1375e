"""Tools: what is asked, the grammar of the answer, and calls as the real client sees them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.serving.test_call_parser import HERMES_FORM, LLAMA_FORM, MISTRAL_FORM
from turnwise.inference.plans.tool_form import ToolForm
from turnwise.inference.requests.generate_request import GrammarSource
from turnwise.inference.sampling.grammar import GrammarCompiler
from turnwise.inference.text.tokenizer import Tokenizer, read_tokenizer
from turnwise.serving.api_error import ApiError
from turnwise.serving.parameters import Parameters
from turnwise.serving.tools import OWN_FORM, read_tools, told_messages

CITY = {"type": "object", "properties": {"city": {"enum": ["Rome", "Oslo"]}}, "required": ["city"]}
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {"name": "weather", "description": "Tell it", "parameters": CITY | {"additionalProperties": False}},
}
STOP: dict[str, Any] = {"type": "function", "function": {"name": "stop", "parameters": {"additionalProperties": False}}}
ASK: dict[str, Any] = {"model": "tools", "messages": [{"role": "user", "content": "Rome?"}], "tools": [WEATHER, STOP]}
ONE_OF: dict[str, Any] = {"rome": {"city": "Rome"}, "oslo": {"city": "Oslo"}}


@pytest.fixture(scope="module")
def tokenizer(demo_model: Path) -> Tokenizer:
    return read_tokenizer(demo_model / "tokenizer.json", bos=1, add_bos=True, vocabulary_size=None)


def follows(tokenizer: Tokenizer, grammar: str, text: str, special: int | None = None) -> bool:
    """True if a text follows a grammar to its end; in it, `§` stands for the special token."""
    ends = frozenset({2})
    vocabulary = tokenizer.vocabulary(ends)
    matcher = GrammarCompiler(vocabulary).matcher(GrammarSource("lark", grammar))
    for letter in text:
        tokens = [special] if letter == "§" else vocabulary.trie.tokenize_bytes(letter.encode())
        for token in tokens:
            if matcher.complete or token is None or not matcher.allowed(tokenizer.ids_end)[token]:
                return False
            matcher.push(token)
    return matcher.complete or bool(matcher.allowed(tokenizer.ids_end)[2])


def grammar(form: ToolForm | None, schema: dict[str, Any] | None = None, **asked: Any) -> str:
    use = read_tools(Parameters({"tools": [WEATHER, STOP], **asked}), form)
    assert use is not None
    return use.grammar(schema)


W, S = '<tool_call>\n{"name": "weather", "arguments": {"city":"Rome"}}\n</tool_call>', None
X = '<tool_call>\n{"name": "stop", "arguments": {}}\n</tool_call>'
REQUIRED, SINGLE = {"tool_choice": "required"}, {"parallel_tool_calls": False}
ONLY_STOP = {"tool_choice": {"type": "function", "function": {"name": "stop"}}}
ALLOWED = {
    "tool_choice": {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "stop"}}]},
    }
}
JSON = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}


@pytest.mark.parametrize(
    ("form", "asked", "schema", "text", "follow"),
    [
        (HERMES_FORM, {}, None, "Just text.", True),
        (HERMES_FORM, {}, None, "", True),
        (HERMES_FORM, {}, None, "Half a <tool_cal", True),
        (HERMES_FORM, {}, None, "Text, then:\n" + W, True),
        (HERMES_FORM, {}, None, W + "\n" + X + "\n" + W, True),
        (HERMES_FORM, {}, None, W + " and text", False),
        (HERMES_FORM, {}, None, "<tool_call> text", False),
        (HERMES_FORM, {}, None, W.replace("Rome", "Paris"), False),
        (HERMES_FORM, {}, None, W.replace("weather", "whether"), False),
        (HERMES_FORM, SINGLE, None, W + "\n" + X, False),
        (HERMES_FORM, SINGLE, None, W, True),
        (HERMES_FORM, REQUIRED, None, W, True),
        (HERMES_FORM, REQUIRED, None, "Text", False),
        (HERMES_FORM, ONLY_STOP, None, X, True),
        (HERMES_FORM, ONLY_STOP, None, W, False),
        (HERMES_FORM, ONLY_STOP, None, X + "\n" + X, False),
        (HERMES_FORM, ALLOWED, None, X, True),
        (HERMES_FORM, ALLOWED, None, W, False),
        (HERMES_FORM, ALLOWED, None, "Text", True),
        (HERMES_FORM, {}, JSON, '{"a":3}', True),
        (HERMES_FORM, {}, JSON, W, True),
        (HERMES_FORM, {}, JSON, "Text", False),
        (None, {}, None, W, True),
        (LLAMA_FORM, {}, None, '{"name": "weather", "parameters": {"city":"Oslo"}}', True),
        (LLAMA_FORM, {}, None, '{"name": "weather", "parameters": {}}', False),
        (LLAMA_FORM, {}, None, 'Some {"a": 1}', True),
        (MISTRAL_FORM, {}, None, '§ [{"name": "stop", "arguments": {}, "id": "abcdefgh1"}]', True),
        (MISTRAL_FORM, {}, None, 'Text§ [{"name": "stop", "arguments": {}, "id": "abcdefgh1"}]', True),
        (MISTRAL_FORM, {}, None, '§ [{"name": "stop", "arguments": {}, "id": "abc"}]', False),
        (MISTRAL_FORM, {}, None, ' [{"name": "stop", "arguments": {}, "id": "abcdefgh1"}]', False),
        (MISTRAL_FORM, REQUIRED, None, "Text", False),
    ],
)
def test_what_begins_like_a_call_is_one(
    tokenizer: Tokenizer, form: ToolForm | None, asked: dict[str, Any], schema: Any, text: str, follow: bool
) -> None:
    if form is MISTRAL_FORM:  # 1 is a special token of this tokenizer
        form = ToolForm(form.head, form.middle, form.joint, form.tail, {"[TOOL_CALLS]": 1})
    assert follows(tokenizer, grammar(form, schema, **asked), text, 1) is follow


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "function", "function": {"name": "a", "code": 1}}]}, "tools[0].function.code"),
        ({"tools": [STOP, STOP]}, "tools"),
        ({"tools": [], "tool_choice": "required"}, "tool_choice"),
        ({"tools": [STOP], "tool_choice": "always"}, "tool_choice"),
        ({"tools": [STOP], "tool_choice": {"type": "function", "function": {"name": "go"}}}, "tool_choice"),
        ({"tools": [STOP], "tool_choice": {"type": "custom"}}, "tool_choice.type"),
    ],
)
def test_what_is_wrong_with_tools_is_named(asked: dict[str, Any], param: str) -> None:
    with pytest.raises(ApiError) as caught:
        read_tools(Parameters(asked), None)
    assert caught.value.param == param


def test_many_tools_are_one_grammar(client: openai.OpenAI) -> None:
    """Schemas count apart from the grammar around them, so that agents with many tools are not refused."""
    texts = {f"text_{number}": {"type": "string", "maxLength": 5} for number in range(10)}
    tools = [
        {"type": "function", "function": {"name": f"tool_{number}", "parameters": {"properties": texts}}}
        for number in range(25)
    ]
    whole = read_tools(Parameters({"tools": [*tools, STOP]}), HERMES_FORM)
    assert whole is not None
    assert 8_192 < len(whole.grammar()) < 32_768
    answer = client.completions.create(
        model="demo", prompt="I can pay 40.\nSeller:", temperature=0, extra_body={"lark": whole.grammar()}
    )
    assert answer.choices[0].text
    schema = json.dumps({"enum": ["x" * 33_000]})
    with pytest.raises(openai.BadRequestError, match="the schemas of lark ha"):
        client.completions.create(model="demo", prompt="a", extra_body={"lark": f"start: %json {schema}"})


def test_where_nothing_may_be_called_there_are_no_tools() -> None:
    assert read_tools(Parameters({"tools": [STOP], "tool_choice": "none"}), None) is None
    assert read_tools(Parameters({}), None) is None


CALLED: list[dict[str, Any]] = [
    {"role": "user", "content": "Rome?"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "weather", "arguments": {"city": "Rome"}}}],
    },
    {"role": "tool", "content": "Sunny", "tool_call_id": "c"},
    {"role": "tool", "content": "21", "tool_call_id": "d"},
]


def test_a_template_that_knows_no_tools_is_told_of_them_in_words() -> None:
    use = read_tools(Parameters({"tools": [WEATHER]}), None)
    told = told_messages(CALLED, use, None)
    assert [message["role"] for message in told] == ["system", "user", "assistant", "user"]
    assert json.dumps(WEATHER) in told[0]["content"]
    assert told[2]["content"] == f'{OWN_FORM.head}weather{OWN_FORM.middle}{{"city": "Rome"}}{OWN_FORM.tail}'
    assert told[3] == {
        "role": "user",
        "content": "<tool_response>\nSunny\n</tool_response>\n<tool_response>\n21\n</tool_response>\n"
        "Answer my question with that.",
    }
    asked = [{"role": "system", "content": "Be kind."}, *CALLED]
    assert told_messages(asked, use, None)[0]["content"].startswith("Be kind.\n\n# Tools")
    assert len(told_messages(CALLED, None, None)) == 3


def test_calls_are_told_as_the_template_takes_them() -> None:
    assert told_messages(CALLED, None, HERMES_FORM) == CALLED
    short = told_messages(CALLED, None, MISTRAL_FORM)
    assert short[1]["tool_calls"][0]["id"] == short[2]["tool_call_id"] != short[3]["tool_call_id"]
    assert len(short[2]["tool_call_id"]) == 9
    as_text = ToolForm("a", "b", None, "c", {}, True)
    assert told_messages(CALLED, None, as_text)[1]["tool_calls"][0]["function"]["arguments"] == '{"city": "Rome"}'


@pytest.mark.parametrize("model", ["tools", "demo"])
def test_a_required_call_has_all_that_the_api_says(client: openai.OpenAI, model: str) -> None:
    asked = ASK | {"model": model, "tools": [STOP], "tool_choice": "required", "parallel_tool_calls": False}
    (choice,) = client.chat.completions.create(**asked).choices
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    (call,) = choice.message.tool_calls or ()
    assert (call.type, call.function.name, call.function.arguments) == ("function", "stop", "{}")


def test_streamed_calls_carry_index_id_and_type(client: openai.OpenAI) -> None:
    asked = ASK | {"tool_choice": "required", "temperature": 0, "max_tokens": 120}
    whole = client.chat.completions.create(**asked).choices[0]
    chunks = list(client.chat.completions.create(**asked, stream=True))
    deltas = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
    begins = [delta for delta in deltas if delta.id is not None]
    assert [(begin.index, begin.type) for begin in begins] == [(index, "function") for index in range(len(begins))]
    calls = whole.message.tool_calls or []
    assert [begin.function.name for begin in begins if begin.function] == [call.function.name for call in calls]
    for index, call in enumerate(calls):
        told = [delta.function.arguments or "" for delta in deltas if delta.index == index and delta.function]
        assert "".join(told) == call.function.arguments
    assert len({begin.id for begin in begins}) == len(begins) == len(calls) > 0
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].choices[0].finish_reason == whole.finish_reason


def test_the_clients_own_helper_parses_arguments(client: openai.OpenAI) -> None:
    class Weather(BaseModel):
        """Tell the weather."""

        days: int
        sure: bool

    tool = openai.pydantic_function_tool(Weather)
    asked = {name: value for name, value in ASK.items() if name != "tools"}
    answer = client.chat.completions.parse(**asked, tools=[tool], tool_choice="required", parallel_tool_calls=False)
    (call,) = answer.choices[0].message.tool_calls or ()
    assert isinstance(call.function.parsed_arguments, Weather)


def test_a_conversation_goes_on_with_results(client: openai.OpenAI) -> None:
    first = client.chat.completions.create(**ASK, tool_choice="required", parallel_tool_calls=False).choices[0].message
    (call,) = first.tool_calls or ()
    messages = [*ASK["messages"], first.to_dict(), {"role": "tool", "tool_call_id": call.id, "content": "Sunny."}]
    for more in ({}, {"tool_choice": "none"}, {"response_format": {"type": "json_schema", "json_schema": FORM}}):
        answer = client.chat.completions.create(**ASK | {"messages": messages} | more, max_tokens=60)
        assert answer.choices[0].finish_reason in ("stop", "length", "tool_calls")
    wrong = [
        *messages[:1],
        messages[1] | {"tool_calls": [call.to_dict() | {"function": {"name": "f", "arguments": "{"}}]},
    ]
    with pytest.raises(openai.BadRequestError, match="arguments of messages"):
        client.chat.completions.create(**ASK | {"messages": wrong})


FORM = {"name": "a", "schema": JSON}
