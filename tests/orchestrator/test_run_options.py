from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import turnwise
from turnwise import UsageError
from turnwise.orchestrator.run_options import (
    ExecutionOptions,
    ResumeOptions,
    RunOptions,
    WorldOptions,
    overrides_of,
    settings_of,
)
from turnwise.world import Overrides


def names(options: type) -> set[str]:
    return set(options.__annotations__)


def test_each_option_has_one_definition() -> None:
    assert names(RunOptions) == names(WorldOptions) | names(ExecutionOptions) | {"journal", "patience_s", "serve"}
    assert names(ResumeOptions) == names(ExecutionOptions) | {"accept_tools", "models", "patience_s", "serve"}


@pytest.mark.parametrize("function", [turnwise.start, turnwise.run, turnwise.resume, turnwise.check, turnwise.replay])
def test_an_option_that_does_not_exist_is_named_as_python_does(function: Any) -> None:
    with pytest.raises(TypeError, match=rf"{function.__name__}\(\) got an unexpected keyword argument 'sed'"):
        function("nowhere", sed=3)


def test_the_option_that_was_meant_is_guessed() -> None:
    with pytest.raises(TypeError, match="Did you mean 'workers'"):
        turnwise.run("nowhere", worker=3)  # type: ignore[call-arg]


def test_options_that_are_not_given_and_none_are_the_same() -> None:
    none: dict[str, Any] = dict.fromkeys(("seed", "schedule", "rounds", "models", "workers", "journal"))
    assert overrides_of({}) == overrides_of(none) == Overrides()
    assert settings_of({}) == settings_of(none, models=True)


def test_options_come_to_where_they_belong(tmp_path: Path) -> None:
    options = {"seed": 3, "overrides": ["a.b=1"], "models": {"m": tmp_path}, "workers": 2, "transport": "portable"}
    assert overrides_of(options) == Overrides(("a.b=1",), seed=3, models={"m": tmp_path})
    settings = settings_of(options, models=True)
    assert (settings.workers, settings.transport, settings.models) == (2, "portable", {"m": tmp_path})
    assert settings_of(options).models == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"overrides": "world.seed=3"}, "overrides are a list of texts"),
        ({"workers": 0}, "cannot be 0 workers"),
        ({"workers": "2"}, "cannot be '2' workers"),
        ({"transport": "pigeon"}, "no transport 'pigeon'"),
    ],
)
def test_options_of_another_kind_are_the_user_s_mistake(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        turnwise.start(turnwise.World(name="w", agents={}), **options)


def test_check_takes_the_options_of_the_world(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def turn(t): pass\n")
    (tmp_path / "world.toml").write_text('[world]\nname = "w"\n[agents.a]\nsource = "a.py"\nstart = true\n')
    assert turnwise.check(tmp_path) == []
    (problem,) = turnwise.check(tmp_path, overrides=["agents.a.count=x"])
    assert problem.where == "--set agents.a.count=x"
