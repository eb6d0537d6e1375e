"""`builtin:demo` wherever a model's path may stand."""

from __future__ import annotations

from pathlib import Path

import pytest

import turnwise.demo
from turnwise import Agent, Model, UsageError, World, WorldError
from turnwise.demo import BUILTIN_DEMO, is_builtin, model_folder
from turnwise.world import Overrides

FOLDER = Path(turnwise.demo.__file__).parent / "model"


def world(path: str | Path) -> World:
    return World(name="w", agents={"a": Agent("pass\n")}, models={"m": Model(path)})


def test_other_paths_are_themselves() -> None:
    assert model_folder("models/demo") == Path("models/demo")
    assert not is_builtin("./builtin:demo")
    assert not is_builtin(Path("/builtin:demo"))


def test_the_demo_model_comes_along() -> None:
    assert model_folder(BUILTIN_DEMO) == model_folder(Path(BUILTIN_DEMO)) == FOLDER
    assert (FOLDER / "genai_config.json").is_file()


@pytest.mark.parametrize("name", ["builtin:", "builtin:demo/", "builtin:../demo", "builtin:haggler"])
def test_nothing_else_comes_along(name: str) -> None:
    with pytest.raises(UsageError, match="comes with Turnwise") as caught:
        model_folder(name)
    assert BUILTIN_DEMO in (caught.value.hint or "")


def test_a_world_names_it() -> None:
    assert world(BUILTIN_DEMO).resolve().models[0].path == FOLDER
    assert world(Path(BUILTIN_DEMO)).resolve().models[0].path == FOLDER


def test_an_option_names_it(tmp_path: Path) -> None:
    changed = world(tmp_path / "missing").override(Overrides(models={"m": BUILTIN_DEMO}))
    assert changed.resolve().models[0].path == FOLDER
    changed = world(BUILTIN_DEMO).override(Overrides(models={"m": tmp_path}))
    assert changed.resolve().models[0].path == tmp_path.resolve()


def test_a_wrong_name_is_a_problem_of_its_place() -> None:
    with pytest.raises(WorldError) as caught:
        world("builtin:dem").resolve()
    (problem,) = caught.value.problems
    assert problem.where == 'World("w"): models.m.path'
    with pytest.raises(WorldError) as caught:
        world(BUILTIN_DEMO).override(Overrides(models={"m": "builtin:dem"})).resolve()
    (problem,) = caught.value.problems
    assert problem.where == "--model m=builtin:dem"


def test_an_installation_without_the_model_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turnwise.demo, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(UsageError, match="is missing from this installation") as caught:
        model_folder(BUILTIN_DEMO)
    assert "training/README.md" in (caught.value.hint or "")
    with pytest.raises(WorldError, match="is missing from this installation"):
        world(BUILTIN_DEMO).resolve()
