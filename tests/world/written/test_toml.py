from __future__ import annotations

import tomllib

import pytest

from turnwise.world.limits import KEY_PARTS_MAX
from turnwise.world.written.toml import LongKeyError, parse_toml

LONG = ".".join(["a"] * (KEY_PARTS_MAX + 1))


@pytest.mark.parametrize(
    "text",
    [
        f"{LONG} = 1",
        f"x = 1\n[{LONG}]",
        f"x = {{ {LONG} = 1 }}",
        f"[[{LONG}]]",
        ".".join(['"a b"'] * (KEY_PARTS_MAX + 1)) + " = 1",
        " . ".join(["'a'"] * (KEY_PARTS_MAX + 1)) + " = 1",
        f'"""x""" = 1\n{LONG} = 1',
        ".".join(["a"] * 50_000) + " = 1",
    ],
)
def test_a_key_of_too_many_parts_is_refused_before_it_costs_anything(text: str) -> None:
    with pytest.raises(LongKeyError, match=str(KEY_PARTS_MAX)) as refused:
        parse_toml(text)
    assert refused.value.line == text.count("\n") + 1


@pytest.mark.parametrize(
    "text",
    [
        ".".join(["a"] * KEY_PARTS_MAX) + " = 1",
        f'x = "{LONG}"',
        f"x = '{LONG}'",
        f"x = 1 # {LONG}",
        f'x = """\n{LONG}\n"quoted" ""\\"{LONG}"""""\ny = 1',
        f"x = '''\n{LONG}\n'quoted' ''{LONG}'''''\ny = 1",
        f'x = "\\"{LONG}\\""',
        'x = [1.5, -0.25, 1979-05-27T07:32:00.5Z]\n"" = 1',
    ],
)
def test_whatever_else_there_is_is_what_the_parser_says(text: str) -> None:
    assert parse_toml(text) == tomllib.loads(text)


@pytest.mark.parametrize("text", ['x = """' + '\\"' * 200_000, 'x = "' + '\\"' * 200_000, "x = '''" + "''\n" * 200_000])
def test_a_text_that_is_not_closed_is_looked_at_once(text: str) -> None:
    with pytest.raises(tomllib.TOMLDecodeError):
        parse_toml(text)
