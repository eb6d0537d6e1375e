from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from turnwise.core.grants import may_ask, may_run_python, may_send, may_spawn, may_stop, pattern, reaches
from turnwise.core.plan import KindGrants


@pytest.mark.parametrize(
    ("entries", "name", "groups", "expected"),
    [
        ((), "a", (), False),
        (("a",), "a", (), True),
        (("a",), "ab", (), False),
        (("a-*",), "a-1", (), True),
        (("a-?",), "a-12", (), False),
        (("a-?",), "a-", (), False),
        (("a-?",), "a-1", (), True),
        (("?-1",), "a-1", (), True),
        (("a?c*",), "abc", (), True),
        (("a?c*",), "ac", (), False),
        (("*",), "anything", (), True),
        (("writers",), "narrator", ("writers",), True),
        (("writers",), "writers", (), True),
        (("writers",), "narrator", ("readers",), False),
        (("[ab]",), "a", (), False),
        (("A",), "a", (), False),
    ],
)
def test_names_patterns_and_groups(
    entries: tuple[str, ...], name: str, groups: tuple[str, ...], expected: bool
) -> None:
    assert reaches(entries, name, groups) is expected


@given(st.text("ab*?.", max_size=8), st.text("ab.\n", max_size=12))
@example("*ab*ab", "abab")
@example("*ab*ab", "aba")
@example("a*?b", "ab")
def test_a_pattern_covers_what_a_search_that_tries_everything_finds(entry: str, name: str) -> None:
    everything = "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in entry)
    assert bool(pattern(entry).fullmatch(name)) == bool(re.fullmatch(everything, name))


@pytest.mark.parametrize("stars", [5, 11, 60])
def test_no_name_makes_a_pattern_go_back(stars: int) -> None:
    """With a search that goes back, five stars take seconds for this name, and eleven longer than anybody waits."""
    entry = "*a" * stars + "*b"
    assert pattern(entry).fullmatch("a" * 100_000) is None
    assert pattern(entry).fullmatch("a" * 100_000 + "b") is not None


def test_every_layer_must_allow_a_stop() -> None:
    assert may_stop([KindGrants(stop=("*",)), KindGrants(stop=("a",))], "a", ())
    assert not may_stop([KindGrants(stop=("*",)), KindGrants(stop=("a",))], "b", ())


def test_every_layer_must_allow() -> None:
    child, parent = KindGrants(send=("*",), spawn=("x",), generate=("m",)), KindGrants(send=("a",))
    assert may_send([child, parent], "a", ())
    assert not may_send([child, parent], "b", ())
    assert may_spawn([child], "x")
    assert not may_spawn([child, parent], "x")
    assert may_ask([child], "generate", "m")
    assert not may_ask([child, parent], "generate", "m")


def test_each_effect_has_a_grant_of_its_own() -> None:
    layers = [KindGrants(generate=("a",), infer=("b",), embed=("c",))]
    allowed = {
        (effect, model)
        for effect in ("generate", "infer", "embed", "send")
        for model in "abc"
        if may_ask(layers, effect, model)
    }
    assert allowed == {("generate", "a"), ("infer", "b"), ("embed", "c")}


def test_every_layer_must_allow_code_to_be_run() -> None:
    granted = KindGrants(run_python=True)
    assert may_run_python([granted, granted]) is True
    assert may_run_python([granted, KindGrants()]) is False
