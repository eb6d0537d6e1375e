"""Records without the guard are what frozen ones are, but for the guard."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

from turnwise.core.turn import Completed, Send, TurnOutput
from turnwise.core.unguarded import unguarded


@dataclasses.dataclass(frozen=True, slots=True)
class Guarded:
    """A record."""

    one: int
    two: str = "two"
    three: list[int] = dataclasses.field(default_factory=list)


@unguarded
@dataclasses.dataclass(frozen=True, slots=True)
class Unguarded:
    """A record."""

    one: int
    two: str = "two"
    three: list[int] = dataclasses.field(default_factory=list)


def test_it_is_made_with_the_same_arguments_and_says_the_same() -> None:
    for arguments, named in (((1,), {}), ((1, "x", [2]), {}), ((), {"one": 3, "three": [4]})):
        ours, theirs = Unguarded(*arguments, **named), Guarded(*arguments, **named)  # type: ignore[arg-type]
        assert dataclasses.astuple(ours) == dataclasses.astuple(theirs)
        assert repr(ours).removeprefix("Ung") == repr(theirs).removeprefix("G")
    assert Unguarded(1).three is not Unguarded(1).three
    assert list(inspect.signature(Unguarded).parameters) == list(inspect.signature(Guarded).parameters)
    with pytest.raises(TypeError):
        Unguarded()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Unguarded(1, four=4)  # type: ignore[call-arg]


def test_records_are_equal_and_hashed_by_their_fields() -> None:
    assert Send("a", "b") == Send("a", "b") != Send("a", "c")
    assert len({Send("a", "b"), Send("a", "b"), Send("b", "a")}) == 2
    assert dataclasses.replace(TurnOutput("s", wake_in=2), state="t") == TurnOutput("t", wake_in=2)
    assert Completed(TurnOutput("s")) != TurnOutput("s")
    with pytest.raises(AttributeError):
        Send("a", "b").other = 1  # type: ignore[attr-defined]


def test_the_guard_is_what_is_gone() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Guarded(1).one = 2  # type: ignore[misc]
    record = Unguarded(1)
    record.one = 2  # type: ignore[misc]
    assert record.one == 2


def test_a_record_that_is_made_in_a_way_of_its_own_keeps_its_guard() -> None:
    @dataclasses.dataclass(frozen=True, slots=True)
    class Checked:
        one: int

        def __post_init__(self) -> None:
            raise ValueError

    @dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
    class Named:
        one: int

    @dataclasses.dataclass(frozen=True, slots=True)
    class Partly:
        one: int = dataclasses.field(init=False)

    for cls in (Checked, Named, Partly):
        with pytest.raises(TypeError, match="way of its own"):
            unguarded(cls)
