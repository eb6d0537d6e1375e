"""A call's way through a chat template and back, for any template."""

from __future__ import annotations

import json
from typing import Any

from turnwise.inference.plans.tool_form import CALL_ID, ToolForm
from turnwise.inference.requests.generate_request import GrammarSource, parse
from turnwise.inference.sampling.grammar import GrammarCompiler
from turnwise.inference.text.chat_template import ChatTemplate
from turnwise.inference.text.prompt import read_prompt
from turnwise.inference.text.tokenizer import Tokenizer
from turnwise.inference.tool_calls.form_texts import OWN_FORM, without_specials
from turnwise.inference.tool_calls.told_request import take_apart, told_request

TOOLS: list[dict[str, Any]] = [
    {
        "name": "weather.look_up",
        "description": 'Look up the weather, in "degrees" & words',
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
    {"name": "stop", "parameters": {"type": "object", "properties": {}, "additionalProperties": False}},
]
CALLS: list[dict[str, Any]] = [
    {"tool": "weather.look_up", "args": {"city": 'São "Paulo" }</tool_call>{', "days": 2}},
    {"tool": "stop", "args": {}},
]


def written(form: ToolForm, calls: list[dict[str, Any]]) -> str:
    """Calls as a model of this form writes them. JSON has no spaces: so the grammar has it."""
    texts = [json.dumps(call["args"], separators=(",", ":"), ensure_ascii=False) for call in calls]
    parts = [f"{call['tool']}{form.middle}{text}" for call, text in zip(calls, texts, strict=True)]
    return (form.head + (form.joint or "").join(parts) + form.tail).replace(CALL_ID, "abcdefgh1")


def conversation(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A question, these calls, and their results."""
    made = [
        {"id": f"call_{index}", "type": "function", "function": {"arguments": call["args"], "name": call["tool"]}}
        for index, call in enumerate(calls)
    ]
    results = [
        {"role": "tool", "content": f"result {index}", "tool_call_id": f"call_{index}", "name": call["tool"]}
        for index, call in enumerate(calls)
    ]
    asked = {"role": "user", "content": "What is the weather?"}
    return [asked, {"role": "assistant", "content": "", "tool_calls": made}, *results]


def goes_round(template: ChatTemplate, tokenizer: Tokenizer, ends: frozenset[int], form: ToolForm | None) -> str:
    """Check that tools are told, that calls and results are, that the grammar takes calls, and that they are read back.

    Returns the prompt with calls and results.
    """
    calls = CALLS[: 1 if form is not None and form.joint is None else 2]
    system = template.takes_system

    def prompt(messages: list[dict[str, Any]]) -> str:
        body = {"effect": "generate", "model": "m", "messages": messages, "tools": TOOLS}
        told = told_request(parse(json.dumps(body)), form, takes_system=system)
        read = read_prompt(told, tokenizer, template, 1_000_000)
        return "".join(map(tokenizer.vocabulary(ends).token_text, read.ids))

    def spelled(text: str) -> str:
        return "".join(map(tokenizer.vocabulary(ends).token_text, tokenizer.encode(text)))

    asked = prompt([{"role": "user", "content": "What is the weather?"}])
    for told in ("What is the weather?", "weather.look_up", "days", "stop"):
        assert spelled(told) in asked, told
    went_on = prompt(conversation(calls))
    for index, call in enumerate(calls):
        assert spelled(call["tool"]) in went_on
        assert spelled(f"result {index}") in went_on

    answer = written(form or OWN_FORM, calls)
    plain = without_specials(answer, form or OWN_FORM)
    for said in ("", "Let me see.") if (form or OWN_FORM).joint is not None else ("",):
        taken = take_apart(said + plain, form)
        assert (taken.text, list(taken.calls)) == (said, calls)

    body = {"effect": "generate", "model": "m", "messages": conversation(calls), "tools": TOOLS}
    grammar = told_request(parse(json.dumps(body)), form, takes_system=system).grammar
    assert isinstance(grammar, GrammarSource)
    matcher = GrammarCompiler(tokenizer.vocabulary(ends)).matcher(grammar)
    for token in tokenizer.encode(answer):
        assert not matcher.complete
        assert matcher.allowed(tokenizer.ids_end)[token], answer
        matcher.push(token)
    assert matcher.complete or any(matcher.allowed(tokenizer.ids_end)[end] for end in ends)
    return went_on
