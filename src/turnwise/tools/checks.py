"""Checks of arguments and results against the schemas of a tool: JSON Schema 2020-12, nothing fetched.

Runs in the process of a server, where a schema that takes for ever is ended with it.
"""

from __future__ import annotations

import json
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from jsonschema.protocols import Validator
from referencing import Registry
from referencing.exceptions import Unresolvable

from turnwise.tools.server import ToolResult
from turnwise.tools.spec import ToolSpec

PROBLEM_CHARS_MAX: Final = 600
"""Characters of what is said of a value that breaks its schema."""

DEPTH_MAX: Final = 60
"""Lists and objects inside each other, in arguments and results."""


class ToolChecks:
    """Checks of one tool."""

    def __init__(self, spec: ToolSpec) -> None:
        """Raise ValueError for a schema that is none."""
        self._args = None if spec.input_schema is None else _validator(spec.input_schema)
        self._data = None if spec.output_schema is None else _validator(spec.output_schema)

    def args_problem(self, args: dict[str, Any]) -> str | None:
        """Return what is wrong with arguments; None if they follow the schema."""
        return _problem(self._args, args)

    def result_problem(self, result: ToolResult) -> str | None:
        """Return what is wrong with a result that is no error; None if it follows the schema."""
        if type(result.text) is not str:
            return f"its text is of type {type(result.text).__name__}"
        if result.data is None and self._data is None:
            return None
        try:
            if _depth(result.data) > DEPTH_MAX:
                return f"it is nested deeper than {DEPTH_MAX} levels"
            json.dumps(result.data, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            return f"it is no JSON value: {str(error)[:PROBLEM_CHARS_MAX]}"
        return _problem(self._data, result.data)


def _validator(schema: dict[str, Any]) -> Validator:
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise ValueError(_said(error)) from None
    return Draft202012Validator(schema, registry=Registry())


def _problem(validator: Validator | None, value: Any) -> str | None:
    if validator is None:
        return None
    try:
        error = best_match(validator.iter_errors(value))  # type: ignore[no-untyped-call]
    except (Unresolvable, RecursionError) as problem:
        return f"its schema cannot be followed: {str(problem)[:PROBLEM_CHARS_MAX]}"
    return None if error is None else _said(error)


def _said(error: ValidationError | SchemaError) -> str:
    where = error.json_path
    message = error.message
    if len(message) > PROBLEM_CHARS_MAX:
        message = message[:PROBLEM_CHARS_MAX] + "…"
    return message if where == "$" else f"{where[:PROBLEM_CHARS_MAX]}: {message}"


def _depth(value: Any) -> int:
    deepest, level = 0, [value]
    while level:
        containers = [item for item in level if isinstance(item, dict | list)]
        if not containers:
            return deepest
        deepest += 1
        if deepest > DEPTH_MAX:
            return deepest
        level = [inside for item in containers for inside in (item.values() if isinstance(item, dict) else item)]
    return deepest
