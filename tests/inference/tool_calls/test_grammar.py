"""The grammar of an answer that may call tools."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.inference.tool_calls.test_call_parser import HERMES_FORM, LLAMA_FORM, MISTRAL_FORM
from turnwise.inference.plans.tool_form import ToolForm
from turnwise.inference.requests.generate_request import GrammarSource
from turnwise.inference.requests.tools import Tool, ToolUse
from turnwise.inference.sampling.grammar import GrammarCompiler
from turnwise.inference.text.tokenizer import Tokenizer, read_tokenizer
from turnwise.inference.tool_calls.form_texts import OWN_FORM
from turnwise.inference.tool_calls.grammar import calls_grammar

CITY = {"type": "object", "properties": {"city": {"enum": ["Rome", "Oslo"]}}, "required": ["city"]}
WEATHER = Tool("weather", "Tell it", CITY | {"additionalProperties": False})
STOP = Tool("stop", None, {"type": "object", "properties": {}, "additionalProperties": False})
BOTH = (WEATHER, STOP)
JSON = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}

W = '<tool_call>\n{"name": "weather", "arguments": {"city":"Rome"}}\n</tool_call>'
X = '<tool_call>\n{"name": "stop", "arguments": {}}\n</tool_call>'
AUTO = ToolUse(BOTH, BOTH)
SINGLE = ToolUse(BOTH, BOTH, calls_max=1)
REQUIRED = ToolUse(BOTH, BOTH, required=True)
ONLY_STOP = ToolUse(BOTH, (STOP,), required=True, calls_max=1)
ALLOWED = ToolUse(BOTH, (STOP,))
NONE = ToolUse(BOTH, ())


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


@pytest.mark.parametrize(
    ("form", "use", "schema", "text", "follow"),
    [
        (HERMES_FORM, AUTO, None, "Just text.", True),
        (HERMES_FORM, AUTO, None, "", True),
        (HERMES_FORM, AUTO, None, "Half a <tool_cal", True),
        (HERMES_FORM, AUTO, None, "Text, then:\n" + W, True),
        (HERMES_FORM, AUTO, None, W + "\n" + X + "\n" + W, True),
        (HERMES_FORM, ToolUse(BOTH, BOTH, calls_max=2), None, W + "\n" + X, True),
        (HERMES_FORM, ToolUse(BOTH, BOTH, calls_max=2), None, W + "\n" + X + "\n" + W, False),
        (HERMES_FORM, AUTO, None, W + " and text", False),
        (HERMES_FORM, AUTO, None, "<tool_call> text", False),
        (HERMES_FORM, AUTO, None, W.replace("Rome", "Paris"), False),
        (HERMES_FORM, AUTO, None, W.replace("weather", "whether"), False),
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
        (HERMES_FORM, NONE, None, "Text <tool_cal", True),
        (HERMES_FORM, NONE, None, "", True),
        (HERMES_FORM, NONE, None, W, False),
        (HERMES_FORM, NONE, JSON, '{"a":3}', True),
        (HERMES_FORM, NONE, JSON, "Text", False),
        (HERMES_FORM, AUTO, JSON, '{"a":3}', True),
        (HERMES_FORM, AUTO, JSON, W, True),
        (HERMES_FORM, AUTO, JSON, "Text", False),
        (OWN_FORM, AUTO, None, W, True),
        (LLAMA_FORM, AUTO, None, '{"name": "weather", "parameters": {"city":"Oslo"}}', True),
        (LLAMA_FORM, AUTO, None, '{"name": "weather", "parameters": {}}', False),
        (LLAMA_FORM, AUTO, None, 'Some {"a": 1}', True),
        (MISTRAL_FORM, AUTO, None, '§ [{"name": "stop", "arguments": {}, "id": "abcdefgh1"}]', True),
        (MISTRAL_FORM, AUTO, None, 'Text§ [{"name": "stop", "arguments": {}, "id": "abcdefgh1"}]', True),
        (MISTRAL_FORM, AUTO, None, '§ [{"name": "stop", "arguments": {}, "id": "abc"}]', False),
        (MISTRAL_FORM, AUTO, None, ' [{"name": "stop", "arguments": {}, "id": "abcdefgh1"}]', False),
        (MISTRAL_FORM, REQUIRED, None, "Text", False),
        (MISTRAL_FORM, NONE, None, "§", False),
    ],
)
def test_what_begins_like_a_call_is_one(
    tokenizer: Tokenizer, form: ToolForm, use: ToolUse, schema: Any, text: str, follow: bool
) -> None:
    if form is MISTRAL_FORM:  # 1 is a special token of this tokenizer
        form = ToolForm(form.head, form.middle, form.joint, form.tail, {"[TOOL_CALLS]": 1})
    assert follows(tokenizer, calls_grammar(use, form, schema), text, 1) is follow


def test_words_of_schemas_are_no_part_of_the_grammar(tokenizer: Tokenizer) -> None:
    """Signs that are counted in a grammar, or mean something there, may stand in a tool's own words."""
    words = "R&D ~ & ~ & %json and %llguidance"
    city = {"type": "object", "properties": {"city": {"const": "Rome", "description": words}}, "required": ["city"]}
    tool = Tool("weather", words, city | {"additionalProperties": False})
    grammar = calls_grammar(ToolUse((tool,), (tool,)), HERMES_FORM)
    assert follows(tokenizer, grammar, W)
    assert not follows(tokenizer, grammar, W.replace("Rome", "Oslo"))
