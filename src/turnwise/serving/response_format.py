"""The form that an answer must have: from `response_format` to the grammar of a generate request."""

from __future__ import annotations

from typing import Any

from turnwise.inference.requests.fields import shown
from turnwise.serving.api_error import refuse, unsupported
from turnwise.serving.parameters import Parameters


def read_response_format(members: Parameters, name: str = "response_format") -> dict[str, Any] | None:
    """Read the form that an answer must have; returns a JSON schema, or None for text as it comes. Raises ApiError."""
    form = members.members(name)
    if form is None:
        return None
    name = members.path(name)
    kind = form.required_text("type")
    if kind == "text":
        form.done()
        return None
    if kind == "json_object":
        form.done()
        return {"type": "object"}
    if kind != "json_schema":
        unsupported(f"{name}.type", f"{shown(kind)} is none of text, json_object and json_schema")
    # The responses API has these members beside `type`, chat completions below `json_schema`.
    inner = form.members("json_schema") if form.given("json_schema") else form
    if inner is None:
        refuse(f"{name}.json_schema is required", f"{name}.json_schema", "missing_required_parameter")
    inner.required_text("name")
    inner.text("description")
    inner.boolean("strict")  # schemas are always followed
    schema = inner.table("schema")
    if schema is None:
        refuse(f"{inner.path('schema')} is required", inner.path("schema"), "missing_required_parameter")
    inner.done()
    form.done()
    return schema
