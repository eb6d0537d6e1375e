from __future__ import annotations

from functools import partial

import pytest

from turnwise.errors import WorldError
from turnwise.world.problems import Problems, dotted, listed, nearest, quoted, said


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("x", 'the text "x"'),
        (3, "the number 3"),
        (-0.5, "the number -0.5"),
        (True, "true"),
        (False, "false"),
        ({}, "a table"),
        ([], "a list"),
        ((), "a list"),
        (None, "a value of type NoneType"),
        (10**100, "the number of very many digits"),
    ],
)
def test_values_in_words(value: object, words: str) -> None:
    assert said(value) == words


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é", '"plain é"'),
        ("a\nb\t", '"a\\nb\\t"'),
        ("\u202e\x00\x7f\u2028", '"\\u202e\\0\\x7f\\u2028"'),
        ("\ud800", '"\\ud800"'),
        ("x" * 60, f'"{"x" * 60}"'),
        ("x" * 61, f'"{"x" * 59}…"'),
    ],
)
def test_texts_are_shown_on_one_line(text: str, shown: str) -> None:
    assert quoted(text) == shown


@pytest.mark.parametrize(
    ("word", "known", "found"),
    [
        ("cout", ["fuel", "count"], "count"),
        ("COUNT", ["fuel", "count"], "count"),
        ("zzz", ["fuel", "count"], None),
        ("", [], None),
    ],
)
def test_the_nearest_word(word: str, known: list[str], found: str | None) -> None:
    assert nearest(word, known) == found


def test_only_so_many_words_are_compared() -> None:
    crowd = [f"zzzz-{i}" for i in range(200_000)]
    assert nearest("ann", [*crowd, "ann"]) is None
    assert nearest("zzzz-9", crowd) == "zzzz-9"


def test_lists_in_words() -> None:
    assert listed([]) == "none"
    assert listed(["a", "b"]) == "a, b"
    assert listed([str(i) for i in range(20)]) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 8 more"


def test_paths_are_written_as_toml_keys() -> None:
    assert dotted(("agents", "a.b", "args", 0, "x")) == 'agents."a.b".args.0.x'


def test_problems_are_collected() -> None:
    problems = Problems("world.toml")
    assert not problems
    problems.raise_if_any()
    problems.add(("agents", "a", "count"), "is wrong", "Correct it.")
    problems.add((), "is worse", "Give up.")
    assert problems
    assert problems.at(("agents", "a", "count"))
    assert not problems.at(("agents", "a"))
    assert problems.below(("agents", "a"))
    assert not problems.below(("agents", "b"))
    with pytest.raises(WorldError) as caught:
        problems.raise_if_any()
    assert str(caught.value) == (
        "world.toml: agents.a.count: is wrong\n  Correct it.\nworld.toml: is worse\n  Give up."
    )
    assert caught.value.exit_code == 2


def test_a_hint_that_costs_is_asked_for_only_if_it_is_shown() -> None:
    problems = Problems("world.toml")
    asked: list[int] = []

    def hint(number: int) -> str:
        asked.append(number)
        return "Correct it."

    for number in range(200):
        problems.add((number,), "is wrong", partial(hint, number))
    assert asked == list(range(100))
    assert problems.at((199,))


def test_the_option_is_to_blame_for_what_it_set() -> None:
    problems = Problems("world.toml")
    problems.mark(("world", "seed"), "--seed")
    problems.mark(("agents", "a", "args"), "--set agents.a.args={}")
    assert problems.where(("world", "seed")) == "--seed"
    assert problems.where(("world",)) == "world.toml: world"
    assert problems.where(("agents", "a", "args", "x")) == "--set agents.a.args={}: agents.a.args.x"
