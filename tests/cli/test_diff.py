"""`turnwise diff` says where two runs part, in words and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import turnwise
from tests.cli.conftest import Command
from tests.cli.journals import evil_plan, play, write
from tests.history.test_diff import asking, chain, played


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("pair")
    return played(folder, "red", chain("red")), played(folder, "blue", chain("blue"))


def test_the_first_difference_and_what_it_reached(command: Command, pair: tuple[Path, Path]) -> None:
    ended = command("diff", *pair)
    assert ended.code == 3
    assert "first: round 1, agent a: sent\n" in ended.out
    assert "  round 1   a (origin)\n  round 2   b (from a)\n  round 3   c (from b)\n" in ended.out
    assert "  reached   a, b, c\n  unreached d, e\n" in ended.out
    assert "→" in ended.out


def test_as_json(command: Command, pair: tuple[Path, Path]) -> None:
    ended = command("diff", *pair, "--json")
    assert ended.code == 3
    value = json.loads(ended.out)
    assert (value["equal"], value["related"], value["count"]) == (False, True, 3)
    assert value["first"] == value["turns"][0]
    assert value["turns"][1]["causes"] == ["a"]
    assert value["reached"] == {"a": 1, "b": 2, "c": 3}
    one = json.loads(command("diff", *pair, "--json", "--agent", "c").out)
    assert [turn["agent"] for turn in one["turns"]] == ["c"]


def test_equal_runs(command: Command, pair: tuple[Path, Path]) -> None:
    ended = command("diff", pair[0], pair[0])
    assert ended.code == 0
    assert ended.out.startswith("equal: ")


def test_runs_that_share_nothing(command: Command, pair: tuple[Path, Path], tmp_path: Path) -> None:
    other = write(tmp_path / "evil.journal", evil_plan(), play(evil_plan()))
    ended = command("diff", pair[0], other)
    assert ended.code == 3
    assert "unrelated: the runs share nothing (no agent's name, or nothing but names)\n" in ended.out
    assert "\x1b" not in ended.out


def test_a_file_that_is_no_journal(command: Command, pair: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    ended = command("diff", pair[0], tmp_path / "x")
    assert ended.code == 2
    assert "defect" not in ended.err


def test_answers_states_and_records_are_shown_where_they_part(command: Command, tmp_path: Path) -> None:
    ended = command("diff", *[played(tmp_path, f"s{seed}", asking(seed)) for seed in (1, 2)])
    assert ended.code == 3
    assert "first: round 1, agent a: effect 0: reply\n" in ended.out
    assert "is another)\n" in ended.out
    assert "log probability -" in ended.out
    assert "likeliest: " in ended.out

    state = "def turn(t):\n    t.state = {'deep': {'a': 1, 'b': t.args['n']}, 'same': 0}\n"
    record = "def turn(t):\n    t.record('same', 1)\n    t.record('price', t.args['n'])\n"
    for source, line in ((state, "  ~         deep.b: 1 → 2\n"), (record, "  record    price: 1 → 2\n")):
        worlds = [
            turnwise.World(name="w", agents={"a": turnwise.Agent(source, start=True, args={"n": n})}) for n in (1, 2)
        ]
        shown = command("diff", *[played(tmp_path, f"{len(source)}-{n}", world) for n, world in enumerate(worlds)]).out
        assert line in shown
        assert "same" not in shown
