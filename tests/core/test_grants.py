from __future__ import annotations

import pytest

from turnwise.core.grants import may_ask, may_send, may_spawn, reaches
from turnwise.core.plan import Grants


@pytest.mark.parametrize(
    ("entries", "name", "groups", "expected"),
    [
        ((), "a", (), False),
        (("a",), "a", (), True),
        (("a",), "ab", (), False),
        (("a-*",), "a-1", (), True),
        (("a-?",), "a-12", (), False),
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


def test_every_layer_must_allow() -> None:
    child, parent = Grants(send=("*",), spawn=("x",), generate=("m",)), Grants(send=("a",))
    assert may_send([child, parent], "a", ())
    assert not may_send([child, parent], "b", ())
    assert may_spawn([child], "x")
    assert not may_spawn([child, parent], "x")
    assert may_ask([child], "generate", "m")
    assert not may_ask([child, parent], "generate", "m")


def test_each_effect_has_a_grant_of_its_own() -> None:
    layers = [Grants(generate=("a",), infer=("b",), embed=("c",))]
    allowed = {
        (effect, model)
        for effect in ("generate", "infer", "embed", "send")
        for model in "abc"
        if may_ask(layers, effect, model)
    }
    assert allowed == {("generate", "a"), ("infer", "b"), ("embed", "c")}
