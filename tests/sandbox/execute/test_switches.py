"""Switches: read from the environment, given to workers, and of no effect on a journal."""

from __future__ import annotations

import dataclasses

import pytest

from turnwise.errors import UsageError
from turnwise.sandbox.execute.switches import ALL_OFF, ALL_ON, OFF, Switches


def test_every_way_is_on_unless_it_is_said_to_be_off() -> None:
    assert Switches.of_environment({}) == ALL_ON == Switches()
    assert dataclasses.astuple(ALL_ON) == (True,) * len(dataclasses.fields(Switches))
    assert dataclasses.astuple(ALL_OFF) == (False,) * len(dataclasses.fields(Switches))
    assert Switches.of_environment(dict.fromkeys(ALL_ON.environment(), OFF)) == ALL_OFF


@pytest.mark.parametrize("switches", [ALL_ON, ALL_OFF])
def test_a_child_reads_what_was_written_for_it(switches: Switches) -> None:
    assert Switches.of_environment(switches.environment()) == switches


@pytest.mark.parametrize("name", ALL_ON.environment())
def test_another_value_is_the_users_mistake(name: str) -> None:
    with pytest.raises(UsageError, match=name):
        Switches.of_environment({name: "no"})
