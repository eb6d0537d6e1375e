from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

from turnwise.demo import BUILTIN_DEMO, model_folder
from turnwise.errors import UsageError
from turnwise.world import World
from turnwise.world.template import LANGUAGES, create_world

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "haggle"


def test_a_new_world_is_right_and_named_like_its_folder(tmp_path: Path) -> None:
    created = create_world(tmp_path / "deep" / "first steps")
    assert [path.name for path in created] == ["world.toml", "keeper.py", "guesser.py"]
    assert sorted(created) == sorted((tmp_path / "deep" / "first steps").iterdir())
    resolved = World.read(tmp_path / "deep" / "first steps").resolve()
    assert resolved.name == "first steps"
    assert [agent.name for agent in resolved.agents] == ["keeper", "guesser"]
    assert resolved.models == ()
    assert [message.to for message in resolved.messages] == ["keeper"]
    for path in created[1:]:
        assert "turn" in [node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]


def test_the_haggling_world_is_the_example_by_another_name(tmp_path: Path) -> None:
    created = create_world(tmp_path / "bazaar", "haggle")
    assert {path.name for path in created} == {path.name for path in EXAMPLE.iterdir() if path.is_file()}
    for path in created[1:]:
        assert path.read_bytes() == (EXAMPLE / path.name).read_bytes()
    resolved = World.read(tmp_path / "bazaar").resolve()
    assert resolved.name == "bazaar"
    assert resolved.models[0].path == model_folder(BUILTIN_DEMO)


def test_the_world_with_tools(tmp_path: Path) -> None:
    created = create_world(tmp_path / "shop", "tools")
    names = [path.relative_to(tmp_path / "shop").as_posix() for path in created]
    assert names == ["world.toml", "clerk.py", "calc.py", "shelf/apples.txt", "shelf/pears.txt"]
    resolved = World.read(tmp_path / "shop").resolve()
    assert resolved.name == "shop"
    assert [tool.name for tool in resolved.tools] == ["calc", "shelf"]


def test_there_are_no_other_templates(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no template") as caught:
        create_world(tmp_path / "w", "../haggle")
    assert caught.value.hint == "Use one of: guessing, tools, haggle."
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ['say "hi"', "back\\slash", "été", "x" * 100])
def test_any_name_that_prints_will_do(tmp_path: Path, name: str) -> None:
    create_world(tmp_path / name)
    assert tomllib.loads((tmp_path / name / "world.toml").read_text(encoding="utf-8"))["world"]["name"] == name


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    assert create_world(tmp_path)[0] == tmp_path / "world.toml"


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="nothing is ever overwritten"):
        create_world(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("name", ["a\nb", " a", "x" * 101, "\u202egnp"])
def test_names_that_would_not_print_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be named"):
        create_world(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_way_is_said(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(UsageError, match="is there already"):
        create_world(tmp_path / "taken")
    with pytest.raises(UsageError, match="cannot be written"):
        create_world(tmp_path / "taken" / "below")


@pytest.mark.parametrize("language", ["javascript", "c"])
def test_the_game_is_there_in_other_languages(language: str, tmp_path: Path) -> None:
    created = create_world(tmp_path / "first steps", language=language)
    assert [path.name for path in created] == list(LANGUAGES[language])
    text = created[0].read_text()
    assert 'name = "first steps"' in text
    assert ".py" not in text
    named = [table["source"] for table in tomllib.loads(text)["agents"].values()]
    assert named == {"javascript": ["keeper.js", "guesser.js"], "c": ["keeper.wasm", "guesser.wasm"]}[language]
    root = Path(__file__).resolve().parents[2] / "guests"
    shared = {"turnwise.d.ts": root / "javascript/turnwise.d.ts", "turnwise.h": root / "c/turnwise.h"}
    assert created[3].read_bytes() == shared[created[3].name].read_bytes()


def test_there_are_no_other_languages(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match='no template in "cobol"'):
        create_world(tmp_path / "w", language="cobol")
    with pytest.raises(UsageError, match="in Python only"):
        create_world(tmp_path / "w", "haggle", "c")
    assert not (tmp_path / "w").exists()
