from __future__ import annotations

import tomllib
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.world.conftest import Write, only_problem, problems_of
from turnwise.core.canonical import canonical
from turnwise.visible_text import visible
from turnwise.world import Agent, Model, Overrides, World
from turnwise.world.problems import Problems, dotted
from turnwise.world.written.overrides import apply_overrides

TOML = """
[world]
name = "test"
seed = 7
[models."tiny-1.0"]
path = "model"
[agents.a]
source = "a.py"
args = [{ mood = "cheerful" }, { mood = "grim" }]
[agents."b.c"]
source = "a.py"
args = { deep = { list = [1, 2] } }
[[messages]]
to = "b.c"
body = "hello"
"""


@pytest.fixture
def folder(write: Write) -> Path:
    return write(TOML, {"model/genai_config.json": "{}", "other/genai_config.json": "{}"})


def changed(*settings: str) -> dict[str, Any]:
    problems = Problems("world.toml")
    document = apply_overrides(tomllib.loads(TOML), Overrides(settings), problems)
    assert not problems
    return document


def test_each_option_changes_its_key(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder / "other")
    overrides = Overrides(seed=8, schedule="sequential", rounds=3, models={"tiny-1.0": "."})
    resolved = World.read(folder, overrides).resolve()
    assert (resolved.seed, resolved.schedule, resolved.rounds_max) == (8, "sequential", 3)
    assert resolved.models[0].path == (folder / "other").resolve()


def test_no_option_changes_nothing(folder: Path) -> None:
    assert World.read(folder, Overrides()).resolve() == World.read(folder).resolve()


def test_a_world_built_in_python_is_overridden_as_well(tmp_path: Path) -> None:
    world = World("built", agents={"a": Agent("pass\n")}, models={"m": Model(tmp_path / "missing")})
    resolved = world.override(Overrides(["agents.a.count=2"], seed=3, models={"m": tmp_path})).resolve()
    assert (resolved.seed, len(resolved.agents), resolved.models[0].path) == (3, 2, tmp_path.resolve())
    assert (
        only_problem(world, Overrides(["agents.a.count=x"], models={"m": tmp_path})).where == "--set agents.a.count=x"
    )


@pytest.mark.parametrize(
    ("setting", "path", "value"),
    [
        ("world.seed=9", ("world", "seed"), 9),
        ("world.seed = 9", ("world", "seed"), 9),
        ("world.name=nine", ("world", "name"), "nine"),
        ('world.name="9"', ("world", "name"), "9"),
        ("world.name=", ("world", "name"), ""),
        ("world.name=a=b", ("world", "name"), "a=b"),
        ("world.name=no # comment", ("world", "name"), "no # comment"),
        ("world.name=1\nseed = 3", ("world", "name"), "1\nseed = 3"),
        ("world.name=a\nb", ("world", "name"), "a\nb"),
        ("agents.a.args.0.mood=sad", ("agents", "a", "args", 0, "mood"), "sad"),
        ("agents.a.args={x=1}", ("agents", "a", "args"), {"x": 1}),
        ('agents."b.c".args.deep.list.1=true', ("agents", "b.c", "args", "deep", "list", 1), True),
        ("agents.'b.c'.args.new.table.x=1.5", ("agents", "b.c", "args", "new", "table", "x"), 1.5),
        ("messages.0.body=bye", ("messages", 0, "body"), "bye"),
        ("agents.a.start=2000-01-01", ("agents", "a", "start"), tomllib.loads("x=2000-01-01")["x"]),
        ("new.table.key=[1]", ("new", "table", "key"), [1]),
    ],
)
def test_a_setting_is_a_toml_value_or_text(setting: str, path: tuple[str | int, ...], value: object) -> None:
    place: Any = changed(setting)
    for key in path:
        place = place[key]
    assert place == value
    assert type(place) is type(value)


def test_the_document_itself_is_left_alone() -> None:
    document = tomllib.loads(TOML)
    apply_overrides(document, Overrides(["agents.a.args.0.mood=sad"], seed=1), Problems("x"))
    assert document == tomllib.loads(TOML)


def test_what_was_given_in_python_is_left_alone_too() -> None:
    args: Any = MappingProxyType({"x": ({"y": 1},), "deep": [[]]})
    for _ in range(100_000):
        args["deep"][0] = [args["deep"][0]]
    world = World("built", agents={"a": Agent("pass\n", args=args)})
    changed = world.override(Overrides(["agents.a.args.deep=0", "agents.a.args.x.0.y=2"]))
    assert changed.resolve().agents[0].args == '{"deep":0,"x":[{"y":2}]}'
    assert args["x"] == ({"y": 1},)


def test_later_settings_win() -> None:
    assert changed("world.seed=1", "world.seed=2")["world"]["seed"] == 2


@pytest.mark.parametrize(
    ("overrides", "where", "message", "hint"),
    [
        (Overrides(["world.seed"]), "--set world.seed", "is not KEY.PATH=VALUE", "--set agents.narrator.count=3"),
        (Overrides(["=3"]), "--set =3", "is not KEY.PATH=VALUE", "--set agents.narrator.count=3"),
        (Overrides([""]), "--set ", "is not KEY.PATH=VALUE", "--set agents.narrator.count=3"),
        (Overrides(["a..b=3"]), "--set a..b=3", "is not KEY.PATH=VALUE", "--set agents.narrator.count=3"),
        (Overrides(["a b=3"]), "--set a b=3", "is not KEY.PATH=VALUE", "--set agents.narrator.count=3"),
        (Overrides(["a\nb=3"]), "--set a\\nb=3", "is not KEY.PATH=VALUE", "--set agents.narrator.count=3"),
        (Overrides(["world.sed=3"]), "--set world.sed=3", 'unknown key "sed"', "Did you mean seed?"),
        (Overrides(["wrld.seed=3"]), "--set wrld.seed=3", 'unknown key "wrld"', "Did you mean world?"),
        (
            Overrides(["world.seed.x=3"]),
            "--set world.seed.x=3",
            "world.seed is the number 7, which has no",
            "Set the key",
        ),
        (Overrides(["agents.b.count=3"]), "--set agents.b.count=3", 'no kind of agent "b"', "The world has: a, b.c."),
        (Overrides(["agents.A.count=3"]), "--set agents.A.count=3", 'no kind of agent "A"', "Did you mean a?"),
        (Overrides(["agents.a.args.2.mood=x"]), "--set agents.a.args.2.mood=x", "no entry", "from 0 to 1"),
        (Overrides(["agents.a.args.-1.mood=x"]), "--set agents.a.args.-1.mood=x", "no entry", "from 0 to 1"),
        (Overrides(["agents.a.args.mood=x"]), "--set agents.a.args.mood=x", 'no entry "mood"', "from 0 to 1"),
        (Overrides(["agents.a.args.0.mood=nan"]), "--set agents.a.args.0.mood=nan", "is nan", "finite number"),
        (
            Overrides(["agents.a.args=[{},{x=nan}]"]),
            "--set agents.a.args=[{},{x=nan}]: agents.a.args.1.x",
            "is nan",
            "",
        ),
        (Overrides(seed=-1), "--seed", "is the number -1, out of range", "from 0 to"),
        (Overrides(seed=2**63), "--seed", "out of range", "from 0 to"),
        (Overrides(schedule="fast"), "--schedule", 'is the text "fast"', '"rounds" or "sequential"'),
        (Overrides(rounds=0), "--rounds", "is the number 0, out of range", "from 1 to"),
        (
            Overrides(models={"tiny": "other"}),
            "--model tiny=other",
            'there is no model "tiny"',
            "Did you mean tiny-1.0?",
        ),
        (Overrides(models={"tiny-1.0": ""}), "--model tiny-1.0=", "names no folder", "--model NAME=PATH"),
        (
            Overrides(models={"tiny-1.0": "/no/such"}),
            "--model tiny-1.0=/no/such",
            "is no folder",
            "--model tiny-1.0=PATH",
        ),
    ],
)
def test_errors_name_the_option(folder: Path, overrides: Overrides, where: str, message: str, hint: str) -> None:
    problem = only_problem(folder, overrides)
    assert problem.where == where
    assert message in problem.message
    assert hint in problem.hint


def test_all_options_are_checked_at_once_with_the_file(folder: Path) -> None:
    (folder / "a.py").unlink()
    problems = problems_of(folder, Overrides(["x"], seed=-1, rounds=-1))
    assert [problem.where.partition(": ")[2] or problem.where for problem in problems] == [
        "--set x",
        "--seed",
        "--rounds",
        "agents.a.source",
        'agents."b.c".source',
    ]


KEYS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r#=")).filter(
    lambda key: "\x7f" not in key and all(c >= " " or c == "\t" for c in key)
)


@given(st.lists(KEYS, min_size=1, max_size=4), st.text() | st.integers() | st.booleans())
def test_any_setting_either_changes_the_document_or_is_a_problem(path: list[str], value: object) -> None:
    problems = Problems("x")
    key = ".".join('"' + part.replace("\\", "\\\\").replace('"', '\\"') + '"' for part in path)
    document = apply_overrides({}, Overrides([f"{key}={value}"]), problems)
    if path[0] in ("agents", "models") and len(path) > 1:
        return
    assert not problems, problems.found
    place: Any = document
    for part in path:
        place = place[part]


@given(st.text())
def test_no_text_breaks_a_setting(setting: str) -> None:
    problems = Problems("x")
    apply_overrides(tomllib.loads(TOML), Overrides([setting]), problems)
    for problem in problems.found:
        assert visible(problem.where) == problem.where


@given(st.recursive(st.integers(-9, 9) | st.booleans() | st.just("x"), lambda inner: st.lists(inner, max_size=3)))
def test_toml_values_are_read_as_such(value: object) -> None:
    assert changed(f"world.x={canonical(value)}")["world"]["x"] == value


def test_where_is_written_as_settings_are() -> None:
    assert dotted(("agents", "b.c", "args", 0, "x y")) == 'agents."b.c".args.0."x y"'
