"""Questions of a server to people (elicitation), as a run asks them, and answers as the server gets them.

A form is an object of flat fields; an answer fills them in, and `null` declines. Where there is nothing to fill in, and
for a page that somebody should visit, an answer is yes or no. A question that nobody answers is cancelled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from mcp import types

from turnwise.core.answer_schema import schema_problem
from turnwise.tools.server import ToolQuestion

TEXT_CHARS_MAX: Final = 4_096
"""Characters of a question's words."""

URL_CHARS_MAX: Final = 2_048
"""Characters of the address of a page to visit."""

SCHEMA_BYTES_MAX: Final = 16 * 1024
"""Bytes of a form's schema as JSON."""

KEY_CHARS_MAX: Final = 128
"""Characters of the name of a question."""

_KEPT: Final = frozenset(
    {
        *("type", "title", "description", "default", "format", "properties", "required", "items", "enum", "const"),
        *("oneOf", "anyOf", "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems"),
    }
)
"""Keywords of a form's schema that are kept: those of the protocol that an answer can be checked with."""


class ElicitationError(Exception):
    """A question that people cannot be asked; the text says why."""


def question_of(key: str, params: types.ElicitRequestParams) -> ToolQuestion:
    """Return a server's question as people are asked it. Raises `ElicitationError`."""
    if len(key) > KEY_CHARS_MAX:
        raise ElicitationError(f"a question's name has {len(key):,} characters, and at most {KEY_CHARS_MAX} are taken")
    if isinstance(params, types.ElicitRequestURLParams):
        if len(params.url) > URL_CHARS_MAX or not params.url.startswith(("https://", "http://")):
            raise ElicitationError(f"a page to visit has no address that people can be shown: {params.url[:100]!r}")
        text = f"{_bounded(params.message)}\nThe page to visit: {params.url}\nHas it been visited?"
        return ToolQuestion(key, text, {"type": "boolean"})
    text = _bounded(params.message)
    if not params.requested_schema.get("properties"):
        return ToolQuestion(key, text, {"type": "boolean"})
    return ToolQuestion(key, text, {"anyOf": [_form_of(params.requested_schema), {"type": "null"}]})


def result_of(params: types.ElicitRequestParams, answers: Mapping[str, Any], key: str) -> types.ElicitResult:
    """Return what the server is told, of all answers that there are. Raises `ElicitationError` for what is none."""
    if key not in answers:
        return types.ElicitResult(action="cancel")
    answer = answers[key]
    if isinstance(params, types.ElicitRequestURLParams):
        return types.ElicitResult(action="accept" if answer is True else "decline")
    if not params.requested_schema.get("properties"):
        return types.ElicitResult(action="accept", content={}) if answer is True else _DECLINED
    if answer is None:
        return _DECLINED
    if not isinstance(answer, Mapping):
        raise ElicitationError("an answer to a form is an object with its fields, or null to decline")
    try:
        return types.ElicitResult(action="accept", content={**_defaults_of(params.requested_schema), **answer})
    except ValueError:
        raise ElicitationError("a field of a form is a text, a number, true or false, or a list of texts") from None


_DECLINED: Final = types.ElicitResult(action="decline")


def _form_of(schema: Mapping[str, Any]) -> Any:
    form = _kept(schema)
    size = len(json.dumps(form).encode())
    if size > SCHEMA_BYTES_MAX:
        raise ElicitationError(f"a form takes {size:,} bytes, and at most {SCHEMA_BYTES_MAX:,} are taken")
    if (problem := schema_problem(form)) is not None:
        raise ElicitationError(f"a form cannot be checked: {problem}")
    return form


def _kept(part: Any, *, named: bool = False) -> Any:
    """A schema with the keywords that are known; `named`: an object whose members are schemas by name."""
    if isinstance(part, Mapping):
        return {
            key: _kept(value, named=key == "properties" and not named)
            for key, value in part.items()
            if named or key in _KEPT
        }
    return [_kept(item) for item in part] if isinstance(part, list) else part


def _defaults_of(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Values of the fields that an answer leaves out."""
    fields = schema.get("properties", {})
    return {
        name: field["default"] for name, field in fields.items() if isinstance(field, Mapping) and "default" in field
    }


def _bounded(text: str) -> str:
    return text if len(text) <= TEXT_CHARS_MAX else f"{text[:TEXT_CHARS_MAX]}…"
