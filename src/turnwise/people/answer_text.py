"""Answers as people write them, and questions as they read them."""

from __future__ import annotations

import json
from typing import Any

from turnwise.core.question import AskedQuestion

TEXT_CHARS_MAX = 4_000


def answer_value(text: str) -> Any:
    """Return the JSON value that somebody has written: what is no JSON is text, and needs no quotes."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def value_for(asked: AskedQuestion, text: str) -> Any:
    """Return the answer that somebody has written to a question.

    A question that wants text is given the text as it is, one that wants a yes or a no understands these words, and a
    number in front of a choice stands for it.
    """
    schema = asked.schema if isinstance(asked.schema, dict) else {}
    if schema.get("type") == "string" and "enum" not in schema:
        return text
    if (choices := choices_of(asked)) and text.isascii() and text.isdecimal() and 1 <= int(text) <= len(choices):
        return text if text in choices else choices[int(text) - 1]
    if schema.get("type") == "boolean" and text.lower() in _WORDS:
        return _WORDS[text.lower()]
    value = answer_value(text)
    if isinstance(value, str) or asked.question.refusal(value) is None:
        return value
    return text if asked.question.refusal(text) is None else value


_WORDS = {"y": True, "yes": True, "n": False, "no": False, "true": True, "false": False}


def choices_of(asked: AskedQuestion) -> list[Any]:
    """Return the values among which a question lets one choose; empty if it does not."""
    schema = asked.schema if isinstance(asked.schema, dict) else {}
    found = schema.get("enum")
    numbers = isinstance(found, list) and any(isinstance(value, int | float) for value in found)
    return found if isinstance(found, list) and not numbers else []


def form_of(asked: AskedQuestion) -> str:
    """Return what an answer has to look like, in a line; empty if anything will do."""
    schema = asked.schema
    if schema is None:
        return ""
    if isinstance(schema, dict):
        if "enum" in schema:
            return " | ".join(json.dumps(value, ensure_ascii=False) for value in schema["enum"])
        if schema.get("type") == "boolean":
            return "yes | no"
        if schema.keys() <= {"type", "description", "title"} and schema.get("type") == "string":
            return "text"
    return json.dumps(schema, ensure_ascii=False)
