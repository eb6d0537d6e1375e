"""Functions as sources: the text that travels, and what is refused with what to do instead."""

from __future__ import annotations

import functools
import json
import json as other_json
import math
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

import turnwise
from turnwise import Agent, World
from turnwise.errors import WorldError
from turnwise.world.files import Refused
from turnwise.world.meaning.function_source import function_text
from turnwise_guest import Message, Turn

LIMIT = 5
WORDS = ("one", ("two", None), 3.5, b"x", True)
MUTABLE = {"count": 0}


def counts(t: Turn) -> None:
    t.state["seen"] = t.state.get("seen", 0) + len(t.inbox) + LIMIT


def helped(t: Turn) -> None:
    for message in t.inbox:
        t.send(message.sender, decorate(message))
    t.state = {
        "pi": math.floor(math.pi),
        "sum": reduce(add, [1, 2, 3]),
        "words": WORDS[0],
        "json": other_json.dumps([1]),
    }


def decorate(message: Message) -> str:
    return f"<{json.loads(message.body)}> {', '.join(str(add(n, 1)) for n in range(LIMIT))}"


def add(one: int, other: int = LIMIT) -> int:
    return one + other


def mutable(t: Turn) -> None:
    MUTABLE["count"] += 1


def through_helper(t: Turn) -> None:
    t.state = uses_mutable()


def uses_mutable() -> int:
    return MUTABLE["count"]


def unknown(t: Turn) -> None:
    t.state = not_defined_anywhere  # noqa: F821 # type: ignore[name-defined]


def generator(t: Turn) -> Any:
    yield t


async def coroutine(t: Turn) -> None: ...


@functools.cache
def decorated(t: Turn) -> None: ...


def wrapped(function: Callable[[Turn], None]) -> Callable[[Turn], None]:
    @functools.wraps(function)
    def inner(t: Turn) -> None:
        function(t)

    return inner


class Thing:
    def method(self, t: Turn) -> None: ...

    def __call__(self, t: Turn) -> None: ...


def nested() -> Callable[[Turn], None]:
    def inner(t: Turn) -> None:
        t.state = {"nested": True, "limit": LIMIT}

    return inner


def closing_over(value: int) -> Callable[[Turn], None]:
    def inner(t: Turn) -> None:
        t.state = value

    return inner


def run(function: Callable[[Turn], None], tmp_path: Path) -> Any:
    world = World(name="functions", agents={"ann": Agent(function, start=True)})
    return json.loads(turnwise.run(world, journal=tmp_path / "run.journal").state("ann"))


def test_a_function_is_an_agent_with_the_imports_constants_and_helpers_that_it_uses(tmp_path: Path) -> None:
    assert run(helped, tmp_path) == {"pi": 3, "sum": 6, "words": "one", "json": "[1]"}


def test_the_text_holds_what_is_used_and_nothing_else() -> None:
    assert function_text(counts) == (
        "from __future__ import annotations\n"
        "\n"
        "LIMIT = 5\n"
        "\n"
        "\n"
        "def counts(t: Turn) -> None:\n"
        '    t.state["seen"] = t.state.get("seen", 0) + len(t.inbox) + LIMIT\n'
        "\n"
        "turn = counts\n"
    )
    text = function_text(helped)
    for line in ("import math", "import json as other_json", "import json", "from functools import reduce"):
        assert line in text.splitlines()
    assert "MUTABLE" not in text
    assert text.index("def decorate") < text.index("def add")


def test_a_function_within_another_that_uses_nothing_of_it_is_one(tmp_path: Path) -> None:
    assert run(nested(), tmp_path) == {"nested": True, "limit": 5}


def test_the_same_function_gives_the_same_head(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    world = World(name="functions", agents={"ann": Agent(counts, start=True)})
    one = turnwise.run(world, journal=tmp_path / "run.journal")
    other = turnwise.run(world, journal=tmp_path / "b" / "run.journal")
    assert one.head == other.head


@pytest.mark.parametrize(
    ("function", "message", "hint"),
    [
        (lambda t: None, "a lambda", "def"),
        (closing_over(3), "variables of the function around it: value", "t.args"),
        (mutable, '"MUTABLE", a global of type dict', "args="),
        (through_helper, 'uses_mutable uses "MUTABLE"', "args="),
        (unknown, "not_defined_anywhere", "Define it"),
        (generator, "a generator", "Nothing would run it"),
        (coroutine, "async", "Define it with def"),
        (decorated, "type _lru_cache_wrapper", "def"),
        (wrapped(counts), "variables of the function around it: function", "t.args"),
        (Thing().method, "type method", "def"),
        (Thing(), "type Thing", "def"),
        (Thing, "type type", "def"),
        (print, "builtin", "def"),
    ],
)
def test_what_cannot_travel_is_refused_with_what_to_do(function: Any, message: str, hint: str) -> None:
    with pytest.raises(Refused) as refused:
        function_text(function)
    assert message in refused.value.message
    assert hint in refused.value.hint


def test_a_world_says_of_which_agent_it_is() -> None:
    world = World(name="functions", agents={"ann": Agent(mutable), "bob": Agent(counts)})
    with pytest.raises(WorldError) as wrong:
        world.resolve()
    assert [problem.where for problem in wrong.value.problems] == ['World("functions"): agents.ann.source']
