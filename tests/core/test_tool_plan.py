"""Tools in a plan: their form in JSON, and how agents' names for them are read."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest

from turnwise.core.tool_plan import (
    CALLS_MAX_DEFAULT,
    REPLY_BYTES_MAX_DEFAULT,
    SamplingPlan,
    ToolPlan,
    ToolServerPlan,
    find_tool,
    server_text,
    servers_from_json,
    servers_to_json,
)
from turnwise.errors import JournalError

PLAIN = ToolPlan("plain")
FULL = ToolPlan("full", "does all", '{"type":"object"}', '{"type":"string"}', idempotent=True, pure=True)
ONE = ToolServerPlan("one", (PLAIN,))
TWO = ToolServerPlan("two", (FULL, PLAIN), calls_max=5, reply_bytes_max=9)
NONE = ToolServerPlan("none")
SERVERS = (ONE, TWO, NONE)
TEXT = [
    {
        "name": "one",
        "calls_max": 100_000,
        "reply_bytes_max": 262_144,
        "tools": [{"name": "plain", "description": ""}],
    },
    {
        "name": "two",
        "calls_max": 5,
        "reply_bytes_max": 9,
        "tools": [
            {
                "name": "full",
                "description": "does all",
                "input_schema": '{"type":"object"}',
                "output_schema": '{"type":"string"}',
                "idempotent": True,
                "pure": True,
            },
            {"name": "plain", "description": ""},
        ],
    },
    {"name": "none", "calls_max": 100_000, "reply_bytes_max": 262_144, "tools": []},
]


def test_the_bounds_of_servers_are_those_that_worlds_rely_on() -> None:
    assert (CALLS_MAX_DEFAULT, REPLY_BYTES_MAX_DEFAULT) == (100_000, 262_144)


def test_servers_are_written_and_read_as_they_are() -> None:
    assert servers_to_json(SERVERS) == TEXT
    assert servers_from_json(TEXT) == SERVERS
    assert servers_from_json([]) == ()
    assert json.loads(server_text(TWO)) == TEXT[1]["tools"]
    assert server_text(NONE) == "[]"


@pytest.mark.parametrize("flag", ["idempotent", "pure"])
def test_each_flag_of_a_tool_is_its_own(flag: str) -> None:
    text = [{"name": "one", "calls_max": 1, "reply_bytes_max": 1, "tools": [{"name": "t", "description": ""}]}]
    text[0]["tools"][0][flag] = True  # type: ignore[index]
    ((tool,),) = [server.tools for server in servers_from_json(text)]
    assert tool == ToolPlan("t", **{flag: True})  # type: ignore[arg-type]
    assert servers_to_json(servers_from_json(text)) == text


@pytest.mark.parametrize(
    ("at", "value"),
    [
        ((0, "name"), 7),
        ((0, "name"), "two"),
        ((0, "calls_max"), "5"),
        ((0, "calls_max"), True),
        ((0, "reply_bytes_max"), 1.5),
        ((0, "tools"), 7),
        ((0, "tools"), [7]),
        ((0, "tools", 0, "name"), None),
        ((0, "tools", 0, "description"), 7),
        ((1, "tools", 0, "input_schema"), {}),
        ((1, "tools", 0, "output_schema"), 7),
        ((1, "tools", 0, "idempotent"), False),
        ((1, "tools", 0, "pure"), 1),
        ((0, "more"), 1),
        ((0, "tools", 0, "more"), 1),
        ((0,), 7),
    ],
)
def test_what_is_not_of_the_form_is_damage(at: tuple[Any, ...], value: object) -> None:
    text: Any = deepcopy(TEXT)
    place = text
    for step in at[:-1]:
        place = place[step]
    place[at[-1]] = value
    with pytest.raises(JournalError, match="its tools are not of their form"):
        servers_from_json(text)


@pytest.mark.parametrize("value", [None, 7, {"a": 1}])
def test_what_is_no_list_of_servers_is_damage(value: object) -> None:
    with pytest.raises(JournalError):
        servers_from_json(value)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("one", (ONE, PLAIN)),
        ("one.plain", (ONE, PLAIN)),
        ("two.full", (TWO, FULL)),
        ("two.plain", (TWO, PLAIN)),
        ("two", None),
        ("none", None),
        ("two.other", None),
        ("one.", None),
        ("three", None),
        ("three.plain", None),
        ("", None),
    ],
)
def test_a_tool_is_found_by_its_server_and_name_or_by_the_server_of_only_one(name: str, found: object) -> None:
    assert find_tool(SERVERS, name) == found


def test_the_models_of_a_server_are_written_and_read_with_their_bounds() -> None:
    assert SamplingPlan(("m",)) == SamplingPlan(("m",), 8, 1_024)
    server = ToolServerPlan("s", (PLAIN,), sampling=SamplingPlan(("m", "n"), 1, 1))
    (text,) = servers_to_json([server])
    assert text["sampling"] == {"models": ["m", "n"], "requests_max": 1, "tokens_max": 1}
    assert servers_from_json([text]) == (server,)
    for member, value in (
        ("models", []),
        ("models", [7]),
        ("requests_max", 0),
        ("tokens_max", 0),
        ("tokens_max", True),
    ):
        with pytest.raises(JournalError, match="its tools are not of their form"):
            servers_from_json([text | {"sampling": text["sampling"] | {member: value}}])
