"""The grammar of an answer that may call tools."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from turnwise.inference.plans.tool_form import CALL_ID, CALL_ID_CHARS, ToolForm
from turnwise.inference.requests.tools import ToolUse
from turnwise.inference.tool_calls.form_texts import begin_mark, escaped, shown_head


def calls_grammar(use: ToolUse, form: ToolForm, schema: Mapping[str, Any] | None = None) -> str:
    """Return the Lark grammar of the answer: calls, or text where none is required; `schema`: that the text follows."""
    mark, special = begin_mark(form)
    barred = shown_head(form) if special else mark
    text = f"TEXT: /(?s:.+)/ & ~/(?s:.*){escaped(barred)}(?s:.*)/" if barred else "TEXT: /(?s:.+)/"
    answer = f"answer: %json {json.dumps(schema)}"
    if not use.callable:
        return "\n".join(["start: TEXT?", text] if schema is None else ["start: answer", answer])
    calls = "\n  | ".join(
        f"{_literal(tool.name + form.middle, form)} %json {json.dumps(tool.parameters)}" for tool in use.callable
    )
    several = use.calls_max > 1 and form.joint is not None
    more = f" ({_literal(form.joint, form)} call){{0,{use.calls_max - 1}}}" if several and form.joint else ""
    lines = [f"calls: call{more} {_literal(form.tail, form)}", f"call: {calls}"]
    head = _literal(form.head, form)
    if use.required:
        return "\n".join([f"start: {head} calls", *lines])
    if schema is not None:
        return "\n".join([f"start: answer | {head} calls", answer, *lines])
    rest = _literal(form.head.removeprefix(mark), form)
    lines.append(text)
    if special:
        return "\n".join([f"start: TEXT? | TEXT? {_literal(mark, form)} {rest} calls", *lines])
    return "\n".join([f"start: TEXT? | marked {rest} calls", f"marked[lazy]: /(?s:.*){escaped(mark)}/", *lines])


def _literal(text: str, form: ToolForm) -> str:
    """Return literal text as a grammar has it: special tokens by their ids, and something for a call's name."""
    names = "|".join(map(re.escape, sorted(form.specials, key=len, reverse=True)))
    parts = re.split(f"({names}|{CALL_ID})" if names else f"({CALL_ID})", text)
    written = []
    for part in parts:
        if part == CALL_ID:
            written.append(f"/[a-zA-Z0-9]{{{CALL_ID_CHARS}}}/")
        elif part in form.specials:
            written.append(f"<[{form.specials[part]}]>")
        elif part:
            written.append(json.dumps(part, ensure_ascii=False))
    return " ".join(written)
