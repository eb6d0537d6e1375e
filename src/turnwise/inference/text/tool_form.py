"""The form of calls of tools, found by having the chat template write some.

Each family of models writes calls in its own way, and its chat template is where that way is stated. So it is asked: it
renders a conversation in which two tools were called, and what stands around their names and arguments is the form.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from itertools import product
from typing import Any, Final

from turnwise.inference.plans.tool_form import CALL_ID, CALL_ID_CHARS, ToolForm
from turnwise.inference.requests.generate_request import ChatMessage
from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.text.chat_template import ChatTemplate
from turnwise.inference.text.tokenizer import Tokenizer

_NAMES: Final = ("turnwise_first", "turnwise_second")
_ARGUMENTS: Final = ({"turnwise_key": "turnwise_one"}, {"turnwise_key": "turnwise_two"})
_IDS: Final = ("twprobe01", "twprobe02")
_QUESTION: Final = ChatMessage("user", "turnwise_question")
_PROBE: Final = "turnwise_"
"""Begins all that is said here: a form that holds it would hold a part of the conversation."""
_WRITTEN: Final = re.compile(r'\{\s*"turnwise_key"\s*:\s*"turnwise_(?:one|two)"\s*\}')


def find_tool_form(template: ChatTemplate, tokenizer: Tokenizer, ends: Iterable[int]) -> ToolForm | None:
    """Return the form in which a template writes calls; None if it shows no tools, or writes calls otherwise.

    Calls that are not a name and a JSON object behind it, with nothing but literal text around, have no such form.
    """
    if not _shows_tools(template) or _has_arguments_of_its_own(template):
        return None
    names = [name for name in map(tokenizer.special_text, ends) if name]
    # Some templates write the last answer in another way than those before it, others tell of tools in the last
    # question: either has its form found in one of two conversations.
    for as_text, later in product((False, True), (True, False)):
        one, two = _written(template, 1, as_text, later), _written(template, 2, as_text, later)
        form = None if one is None else _form(template, one, two, names, as_text)
        if form is not None:
            texts = form.head + form.middle + (form.joint or "") + form.tail
            specials = {name: token for name, token in tokenizer.special_names.items() if name in texts}
            if any(name in form.middle for name in specials):
                return None  # a message of its own kind, where text would have to begin with its kind, too
            return ToolForm(form.head, form.middle, form.joint, form.tail, specials, as_text)
    return None


def tool(name: str) -> dict[str, Any]:
    """Describe a tool without parameters, as templates are given them."""
    return {"type": "function", "function": {"name": name, "description": "", "parameters": {"type": "object"}}}


def _shows_tools(template: ChatTemplate) -> bool:
    shown = _rendered(template, [_QUESTION], tools=True, answer=True)
    return shown is not None and _NAMES[0] in shown


def _has_arguments_of_its_own(template: ChatTemplate) -> bool:
    """True if arguments that are an object are written otherwise than as JSON, and not as they are by mistake.

    Such a template may take arguments as text, too, but no model was trained on what comes of it.
    """
    for later in (True, False):
        written = _written(template, 1, as_text=False, later=later)
        if written is not None and _ARGUMENTS[0]["turnwise_key"] in written:
            return _WRITTEN.search(written) is None and str(_ARGUMENTS[0]) not in written
    return False


def _rendered(template: ChatTemplate, messages: list[ChatMessage], *, tools: bool, answer: bool) -> str | None:
    try:
        return template.render(messages, {"tools": [tool(name) for name in _NAMES]} if tools else {}, answer=answer)
    except Refusal:
        return None


def _written(template: ChatTemplate, count: int, as_text: bool, later: bool) -> str | None:
    """Return a conversation with so many calls in one answer; `later`: with a question behind. None if refused."""
    calls = [
        {
            "id": _IDS[index],
            "type": "function",
            "function": {
                "name": _NAMES[index],
                "arguments": json.dumps(_ARGUMENTS[index]) if as_text else _ARGUMENTS[index],
            },
        }
        for index in range(count)
    ]
    results = [
        ChatMessage("tool", "turnwise_result", {"name": _NAMES[index], "tool_call_id": _IDS[index]})
        for index in range(count)
    ]
    messages = [_QUESTION, ChatMessage("assistant", "", {"tool_calls": calls}), *results, *[_QUESTION] * later]
    return _rendered(template, messages, tools=True, answer=False)


def _form(template: ChatTemplate, one: str, two: str | None, ends: list[str], as_text: bool) -> ToolForm | None:
    begin = _answer_begin(template, one)
    first = _WRITTEN.search(one, begin) if begin is not None else None
    if begin is None or first is None:
        return None
    name = one.find(_NAMES[0], begin, first.start())
    stops = [place for place in (one.find(end, first.end()) for end in ends) if place >= 0]
    if name < 0 or not stops:
        return None
    head, middle = one[begin:name], one[name + len(_NAMES[0]) : first.start()]
    tail = _with_slot(one[first.end() : min(stops)], _IDS[0])
    joint = None if two is None else _joint(two, begin)
    if _IDS[0] in head + middle or not head.strip() or not middle or _PROBE in head + middle + (joint or "") + tail:
        return None
    return ToolForm(head.lstrip(), middle, joint, tail, arguments_as_text=as_text)


def _answer_begin(template: ChatTemplate, text: str) -> int | None:
    """Return where the answer of a conversation begins."""
    asked = _rendered(template, [_QUESTION], tools=True, answer=True)
    before = _rendered(template, [_QUESTION], tools=True, answer=False)
    if asked is None or before is None:
        return None
    if text.startswith(asked):
        return len(asked)
    place = text.find(_NAMES[0], len(before)) if text.startswith(before) else -1
    written = asked[len(before) :].strip() if asked.startswith(before) else ""
    found = text.rfind(written, len(before), place) if written and place >= 0 else -1
    return found + len(written) if found >= 0 else None


def _joint(text: str, begin: int) -> str | None:
    """Return what stands between two calls."""
    found = list(_WRITTEN.finditer(text, begin))
    if len(found) != 2:
        return None
    place = text.find(_NAMES[1], found[0].end(), found[1].start())
    if place < 0:
        return None
    return _with_slot(text[found[0].end() : place], _IDS[0])


def _with_slot(text: str, number: str) -> str:
    if len(number) != CALL_ID_CHARS:
        raise ValueError(number)
    return text.replace(number, CALL_ID)
