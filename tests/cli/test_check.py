"""`turnwise check` and `turnwise new`, in this process and as the real program."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.worlds import TICKS, make_world, played_here, turnwise
from turnwise.visible_text import visible


def test_a_world_without_problems_is_described(tmp_path: Path) -> None:
    world = make_world(
        tmp_path / "w",
        {"tick.wat": TICKS},
        '[agents.crowd]\nsource = "tick.wat"\ncount = 1200\nstart = true\n',
        rounds_max=12,
    )
    for named in (world, world / "world.toml"):
        ended = played_here("check", named, cwd=tmp_path)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert ended.stdout == (
            "ok: w, seed 0\n"
            "  agents    1,201 agents of 2 kinds: tick 1, crowd 1,200\n"
            "  messages  0 messages in round 1\n"
            "  schedule  rounds, at most 12 rounds\n"
        )
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["tick.wat", "w", "world.toml"]  # nothing is written


def test_all_problems_are_said_and_counted(tmp_path: Path) -> None:
    world = make_world(
        tmp_path / "w",
        {"tick.wat": TICKS},
        '[agents.lost]\nsource = "lost\\u001b[2J.py"\n[agents.typo]\nsuorce = "tick.wat"\n',
        rounds_max='"many"',
    )
    ended = played_here("check", world, cwd=tmp_path)
    assert ended.returncode == 2
    numbered = [line.split(" ")[0] for line in ended.stdout.split("\n") if line[:1].isdigit()]
    assert numbered[:-1] == [f"{number}." for number in range(1, len(numbered))]
    assert ended.stdout.endswith(f"\n{len(numbered) - 1} problems\n")
    for place in ("world.rounds_max", "agents.lost.source", "agents.typo.suorce", "world.toml"):
        assert place in ended.stdout
    assert visible(ended.stdout, lines=True) == ended.stdout
    as_json = played_here("check", world, "--json", cwd=tmp_path)
    assert as_json.returncode == 2
    value = json.loads(as_json.stdout)
    assert value["ok"] is False
    assert len(value["problems"]) == len(numbered) - 1
    assert value["problems"][0].keys() == {"where", "message", "hint", "warning"}
    assert as_json.stderr == ended.stdout


def test_what_only_compiling_finds_is_found(tmp_path: Path) -> None:
    sources = {
        "syntax.py": "def turn(t):\n    pass\n\ndef broken(:\n    pass\n",
        "imports.wat": TICKS.replace("(module\n", '(module\n(import "env" "steal" (func))\n'),
        "exports.wat": "(module)",
        "nonsense.wat": "(module (func $f (unknown))",
    }
    ended = played_here("check", make_world(tmp_path / "w", sources), cwd=tmp_path)
    assert ended.returncode == 2, ended.stderr
    assert ended.stdout.endswith("\n4 problems\n")
    assert "agents.syntax.source" in ended.stdout
    assert "line 4" in ended.stdout or "syntax.py:4" in ended.stdout
    for kind in ("imports", "exports", "nonsense"):
        assert f"agents.{kind}.source" in ended.stdout
    assert "steal" in ended.stdout


def test_a_new_world_runs(tmp_path: Path) -> None:
    made = turnwise("new", "my world", cwd=tmp_path)
    assert (made.returncode, made.stderr) == (0, "")
    assert "  world.toml\n" in made.stdout
    assert "  turnwise run 'my world'     plays it\n" in made.stdout
    assert turnwise("check", "my world", cwd=tmp_path).returncode == 0
    ended = turnwise("run", "my world", "--json", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["status"] == "finished"


def test_nothing_is_overwritten_by_a_new_world(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    (tmp_path / "file").write_text("keep")
    for name in ("mine", "file", "file/below", ""):
        ended = played_here("new", name, cwd=tmp_path)
        assert ended.returncode == 2, (name, ended)
        assert ended.stdout == ""
        assert ended.stderr.startswith("error: ")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "mine", "notes.txt"]


def test_a_warning_is_shown_and_is_no_failure(tmp_path: Path) -> None:
    world = make_world(tmp_path / "w", {"tick.wat": TICKS}, '[agents.idle]\nsource = "tick.wat"\n')
    ended = played_here("check", world, cwd=tmp_path)
    assert ended.returncode == 0
    assert "agents.idle: warning: never has a turn" in ended.stdout
    assert "ok: w, seed 0" in ended.stdout
    value = json.loads(played_here("check", world, "--json", cwd=tmp_path).stdout)
    assert value["ok"] is True
    assert [problem["warning"] for problem in value["problems"]] == [True]


def test_agents_that_could_never_move_are_problems(tmp_path: Path) -> None:
    sources = {"a.py": "import requests\nasync def turn(t):\n    pass\n", "b.py": "x = 1\n"}
    ended = played_here("check", make_world(tmp_path / "w", sources), cwd=tmp_path)
    assert ended.returncode == 2
    text = " ".join(ended.stdout.split())
    assert "a.py:1: no agent can import requests" in text
    assert "a.py:2: turn is an async function" in text
    assert "b.py: it has no function turn" in text
