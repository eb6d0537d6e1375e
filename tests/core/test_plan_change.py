"""Changes of a plan: their text, and what they make of a plan."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from tests.core.worlds import kind, plan, sends
from turnwise.core.plan import KindGrants, Limits
from turnwise.core.plan_change import changed_plan, concerns_turns, plan_change, plan_concerns, with_texts
from turnwise.core.tool_plan import ToolPlan, ToolServerPlan
from turnwise.core.withheld import Withheld, as_member
from turnwise.errors import JournalError

PLAN = plan([kind("a", grants=sends("b")), kind("b")], models=(("m", "1" * 64), ("n", "2" * 64)))


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"seed": 8}, '{"seed":8}'),
        ({"rounds_max": 3, "on_failure": "stop"}, '{"on_failure":"stop","rounds_max":3}'),
        ({"models": (("m", "1" * 64), ("n", "3" * 64))}, '{"models":{"n":"' + "3" * 64 + '"}}'),
        (
            {"kinds": (replace(PLAN.kinds[0], system="be brief", limits=Limits(fuel=9)), PLAN.kinds[1])},
            '{"kinds":{"a":{"limits":{"fuel":9},"system":"be brief"}}}',
        ),
        (
            {"kinds": (PLAN.kinds[0], replace(PLAN.kinds[1], grants=KindGrants(send=("a",))))},
            '{"kinds":{"b":{"grants":{"send":["a"]}}}}',
        ),
        (
            {"kinds": (PLAN.kinds[0], replace(PLAN.kinds[1], grants=KindGrants(finish=True)))},
            '{"kinds":{"b":{"grants":{"finish":true}}}}',
        ),
        (
            {"tools": (ToolServerPlan("s", (ToolPlan("t"),), 5, 9),)},
            '{"tools":[{"calls_max":5,"name":"s","reply_bytes_max":9,"tools":[{"description":"","name":"t"}]}]}',
        ),
        (
            {"kinds": (PLAN.kinds[0], replace(PLAN.kinds[1], grants=KindGrants(ask=True, run_python=True)))},
            '{"kinds":{"b":{"grants":{"ask":true,"run_python":true}}}}',
        ),
        (
            {"kinds": (PLAN.kinds[0], replace(PLAN.kinds[1], grants=KindGrants(call=("s",), approve=("s.t",))))},
            '{"kinds":{"b":{"grants":{"approve":["s.t"],"call":["s"]}}}}',
        ),
        ({"contents_bytes_max": 9, "agents_max": 3}, '{"agents_max":3,"contents_bytes_max":9}'),
        (
            {"models": (("m", "3" * 64), ("n", "4" * 64))},  # all that there are
            '{"models":{"m":"' + "3" * 64 + '","n":"' + "4" * 64 + '"}}',
        ),
    ],
)
def test_a_change_makes_the_one_plan_the_other(members: dict[str, Any], text: str) -> None:
    other = replace(PLAN, **members)
    assert plan_change(PLAN, other) == text
    assert changed_plan(PLAN, text) == other


def test_equal_plans_have_no_change() -> None:
    assert plan_change(PLAN, PLAN) is None


@pytest.mark.parametrize(
    "members",
    [
        {"name": "other"},
        {"schedule": "sequential"},
        {"round_us": 7},
        {"kinds": PLAN.kinds[:1]},
        {"kinds": (*PLAN.kinds, kind("c"))},
    ],
)
def test_not_all_of_a_plan_can_be_changed(members: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="cannot be changed"):
        plan_change(PLAN, replace(PLAN, **members))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"seed":"8"}',
        '{"seed":true}',
        '{"name":"other"}',
        '{"on_failure":"never"}',
        '{"models":{"other":"x"}}',
        '{"models":{"m":1}}',
        '{"kinds":{"c":{}}}',
        '{"kinds":{"a":{"start":true}}}',
        '{"kinds":{"a":{"code":1}}}',
        '{"kinds":{"a":{"grants":{"send":"b"}}}}',
        '{"kinds":{"a":{"grants":{"send":[1]}}}}',
        '{"kinds":{"a":{"grants":{"finish":1}}}}',
        '{"kinds":{"a":{"limits":{"fuel":null}}}}',
    ],
)
def test_what_is_no_change_of_this_plan_is_damage(text: str) -> None:
    with pytest.raises(JournalError, match="a change of the plan cannot be read"):
        changed_plan(PLAN, text)


@pytest.mark.parametrize(
    ("text", "concerned"),
    [
        ('{"seed":8}', {"a", "b"}),
        ('{"kinds":{"a":{"code":"x"}}}', {"a"}),
        ('{"kinds":{"a":{"code":"x"}},"seed":8}', {"a", "b"}),
        ('{"kinds":{}}', set()),
        ("[]", {"a", "b"}),
    ],
)
def test_a_change_concerns_the_kinds_that_it_names_or_all(text: str, concerned: set[str]) -> None:
    assert {name for name in ("a", "b") if plan_concerns(text, name) is True} == concerned
    assert {name for name in ("a", "b") if plan_concerns(text, name) is False} == {"a", "b"} - concerned


@pytest.mark.parametrize(
    ("text", "concerned"),
    [
        ('{"seed":8}', {"a", "b"}),
        ('{"models":{"m":"x"}}', {"a", "b"}),
        ('{"kinds":{"a":{"code":"x"}}}', {"a"}),
        ('{"kinds":{"a":{"code":"x"}},"seed":8}', {"a", "b"}),
        ('{"kinds":{}}', set()),
        ('{"rounds_max":9}', set()),
    ],
)
def test_turns_that_have_begun_are_others_by_what_they_were_given(text: str, concerned: set[str]) -> None:
    for name in ("a", "b"):
        assert concerns_turns(text, name) is (name in concerned)


def test_what_agents_are_told_can_be_taken_out() -> None:
    other = replace(PLAN, seed=8, kinds=(replace(PLAN.kinds[0], args='{"a":1}', system="be brief"), PLAN.kinds[1]))
    text = plan_change(PLAN, other)
    assert text is not None
    seen: list[tuple[str, str, str]] = []

    def without(kind: str, name: str, told: str) -> object:
        seen.append((kind, name, told))
        return as_member(Withheld(sha256(told.encode()).hexdigest()))

    redacted = with_texts(text, without)
    assert seen == [("a", "args", '{"a":1}'), ("a", "system", "be brief")]
    assert "brief" not in redacted
    found = changed_plan(PLAN, redacted)
    assert type(found.kinds[0].system) is Withheld
    assert found == other  # a withheld text is equal to the one that has its digest
    assert plan_change(PLAN, found) == redacted
    assert with_texts('{"seed":8}', without) == '{"seed":8}'
    for wrong in ("", "[]", '{"kinds":[]}', '{"kinds":{"a":1}}'):
        with pytest.raises(JournalError, match="cannot be read"):
            with_texts(wrong, without)
