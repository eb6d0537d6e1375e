"""Arguments and results are compared with the schemas of their tool, and are JSON of a bounded depth."""

from __future__ import annotations

from typing import Any

import pytest

from turnwise.tools.checks import DEPTH_MAX, PROBLEM_CHARS_MAX, ToolChecks
from turnwise.tools.server import ToolResult
from turnwise.tools.spec import ToolSpec

NUMBERS = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
TEXT = {"type": "string"}
FREE, STRICT = ToolChecks(ToolSpec("free")), ToolChecks(ToolSpec("strict", "", NUMBERS, TEXT))


def test_arguments_follow_their_schema_where_there_is_one() -> None:
    assert FREE.args_problem({"anything": [1]}) is None
    assert STRICT.args_problem({"n": 1, "more": 2}) is None
    assert STRICT.args_problem({}) == "'n' is a required property"
    assert STRICT.args_problem({"n": "1"}) == "$.n: '1' is not of type 'integer'"


def test_results_follow_theirs_and_are_json() -> None:
    assert STRICT.result_problem(ToolResult("t", "data")) is None
    assert STRICT.result_problem(ToolResult("t", 7)) == "7 is not of type 'string'"
    assert STRICT.result_problem(ToolResult("t")) == "None is not of type 'string'"
    assert FREE.result_problem(ToolResult("t")) is None
    assert FREE.result_problem(ToolResult("t", {"a": [1, None]})) is None
    wrong: Any = 7
    assert FREE.result_problem(ToolResult(wrong)) == "its text is of type int"
    for data in (float("nan"), {"a": object()}, {1, 2}):
        assert (FREE.result_problem(ToolResult("t", data)) or "").startswith("it is no JSON value: ")


@pytest.mark.parametrize("around", [lambda inner: [inner], lambda inner: {"a": inner}, lambda inner: [1, {"a": inner}]])
def test_a_result_has_a_depth(around: Any) -> None:
    levels = 2 if isinstance(around(1), list) and len(around(1)) == 2 else 1
    value: Any = 1
    for _ in range(DEPTH_MAX // levels):
        value = around(value)
    assert FREE.result_problem(ToolResult("t", value)) is None
    assert FREE.result_problem(ToolResult("t", [value])) == f"it is nested deeper than {DEPTH_MAX} levels"
    circle: list[Any] = []
    circle.append(circle)
    assert FREE.result_problem(ToolResult("t", circle)) == f"it is nested deeper than {DEPTH_MAX} levels"


def test_what_is_wrong_is_said_up_to_a_bound() -> None:
    spec = ToolSpec("t", "", {"properties": {"n": {"enum": ["e" * 2_000]}, "m" * 2_000: TEXT}})
    checks = ToolChecks(spec)
    said = checks.args_problem({"n": "x"}) or ""
    assert said.startswith("$.n: 'x' is not one of ['eee")
    assert len(said) == len("$.n: ") + PROBLEM_CHARS_MAX + 1
    assert said.endswith("e…")
    named = checks.args_problem({"m" * 2_000: 1}) or ""
    assert named == "$." + "m" * (PROBLEM_CHARS_MAX - 2) + ": 1 is not of type 'string'"


@pytest.mark.parametrize(
    "schema", [{"$ref": "https://example.org/schema"}, {"$ref": "#/$defs/none"}, {"allOf": [{"$ref": "#"}]}]
)
def test_a_schema_that_leads_nowhere_is_a_problem_of_the_call(schema: dict[str, Any]) -> None:
    problem = ToolChecks(ToolSpec("t", "", schema)).args_problem({"n": 1}) or ""
    assert problem.startswith("its schema cannot be followed: ")
    assert len(problem) <= len("its schema cannot be followed: ") + PROBLEM_CHARS_MAX


@pytest.mark.parametrize("of", ["input_schema", "output_schema"])
def test_what_is_no_schema_is_said(of: str) -> None:
    schema: Any = {"type": "whole"}
    with pytest.raises(ValueError, match="'whole' is not valid under any of the given schemas"):
        ToolChecks(ToolSpec("t", **{of: schema}))
