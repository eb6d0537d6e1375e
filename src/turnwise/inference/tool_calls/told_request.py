"""A request with tools as the engine plays it, and what a finished answer comes to."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, Final

from turnwise.core.canonical import canonical
from turnwise.core.json_text import decode
from turnwise.inference.plans.tool_form import ToolForm
from turnwise.inference.requests.generate_request import Generation, GrammarSource
from turnwise.inference.tool_calls.call_parser import CallParser, TextDelta
from turnwise.inference.tool_calls.conversation import told_messages
from turnwise.inference.tool_calls.form_texts import OWN_FORM
from turnwise.inference.tool_calls.grammar import calls_grammar

ARGUMENTS_NESTING_MAX: Final = 32
"""Levels of a call's arguments: below what an agent's own requests may have, which pass them on."""


@dataclass(frozen=True, slots=True)
class Said:
    """An answer, taken apart.

    - `text`: what was said beside calls
    - `calls`: names and arguments, in order, as a reply has them; arguments that were cut off, or that are no value
      which can be passed on, are None
    """

    text: str
    calls: tuple[dict[str, Any], ...]


def told_request(generation: Generation, form: ToolForm | None, *, takes_system: bool = True) -> Generation:
    """Return a request in the words of a model with this form; one that has no `tools` stays as it is.

    `takes_system`: whether the model's template shows system messages.
    """
    use = generation.tools
    if use is None:
        return generation
    messages = told_messages(generation.messages, use, form, takes_system=takes_system)
    template = generation.template
    if use.tools and form is not None:
        template = {**template, "tools": [tool.told() for tool in use.tools]}
    if not use.tools:
        return replace(generation, messages=messages, template=template)
    schema = None if generation.grammar is None else json.loads(generation.grammar.text)
    grammar = GrammarSource("lark", calls_grammar(use, form or OWN_FORM, schema))
    return replace(generation, messages=messages, template=template, grammar=grammar)


def take_apart(text: str, form: ToolForm | None) -> Said:
    """Return what an answer says, and what it calls."""
    parser = CallParser(form or OWN_FORM)
    said = ""
    names: list[str] = []
    arguments: list[str] = []
    for delta in parser.feed(text) + parser.rest():
        if isinstance(delta, TextDelta):
            said += delta.text
        elif delta.name is not None:
            names.append(delta.name)
            arguments.append("")
        else:
            arguments[delta.index] += delta.arguments
    read = map(read_arguments, arguments)
    return Said(said, tuple([{"tool": name, "args": args} for name, args in zip(names, read, strict=True)]))


def read_arguments(text: str) -> dict[str, Any] | None:
    """Return the arguments of a call; None if they were cut off, or are no value that can be passed on."""
    try:
        value = decode(text, ARGUMENTS_NESTING_MAX)
        canonical(value)  # no number that is not finite, no half a character
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
