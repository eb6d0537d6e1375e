"""Cells are coloured by what turns had: tokens that models wrote, time, and values that agents recorded."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import turnwise
from tests.monitor.conftest import Monitor
from turnwise.journal.journal import Journal
from turnwise.journal.read.amounts import tokens_written
from turnwise.monitor.answers import records

SOURCE = """
def turn(t):
    if t.self_name == "one":
        t.generate("m", "A rug", tokens_max=3 + t.turn)
    if t.turn != 2:
        t.record("worth", 10 - 7 * t.turn)
        t.record("worth", 11 - 7 * t.turn)
    t.record("word", "none")
    if t.turn < 4:
        t.wake_in(1)
"""


class Shown:
    """A run of two agents and five rounds, and its monitor."""

    def __init__(self, folder: Path) -> None:
        grants = turnwise.Grants(generate=["m"])
        agents = {name: turnwise.Agent(SOURCE, start=True, grants=grants) for name in ("one", "two")}
        world = turnwise.World("measured", agents=agents, models={"m": turnwise.Model("builtin:demo")})
        self.path = folder / "a.journal"
        turnwise.run(world, journal=self.path, workers=1).close()
        self.monitor = Monitor(folder)

    def cells(self, measure: str, **more: Any) -> dict[int, tuple[int, float]]:
        """Turns and values by cell."""
        extra = "".join(f"&{name}={value}" for name, value in more.items())
        data = self.monitor.get(f"/api/tile?run=a.journal&measure={measure}{extra}").body
        count = len(data) // 16
        index, turns = struct.unpack_from(f"<{count}I", data), struct.unpack_from(f"<{count}I", data, 4 * count)
        values = struct.unpack_from(f"<{count}f", data, 12 * count)
        return dict(zip(index, zip(turns, values, strict=True), strict=True))


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    found = Shown(tmp_path_factory.mktemp("measured"))
    yield found
    found.monitor.close()


def test_tokens_are_those_that_the_replies_say(shown: Shown) -> None:
    with turnwise.open(shown.path) as run:
        expected = {
            turn.round + 256 * (turn.agent == "two"): sum(json.loads(one.reply)["ok"]["tokens"] for one in turn.effects)
            for turn in run.turns
        }
    assert sum(expected.values()) > 0
    assert {index: value for index, (_, value) in shown.cells("tokens").items()} == expected
    joined = shown.cells("tokens", round_bits=3, place_bits=1)
    assert joined == {0: (8, float(sum(expected.values())))}
    assert shown.cells("tokens", lanes="lineage") == shown.cells("tokens")


def test_time_is_what_the_journal_noted(shown: Shown) -> None:
    with Journal.open(shown.path) as journal:
        expected = {
            of.round + 256 * place: span.duration_us
            for of in journal.timings.between()
            for place, span in of.turns.items()
        }
    found = {index: value for index, (_, value) in shown.cells("time").items()}
    assert found == pytest.approx(expected, rel=1e-6)
    assert shown.cells("time", row=1) == {}


def test_a_recorded_value_is_its_mean_and_none_where_nobody_recorded_it(shown: Shown) -> None:
    found = shown.cells("record:worth")
    assert [found[number][1] for number in (1, 3, 4)] == [3.5, -10.5, -17.5]
    assert math.isnan(found[2][1])
    assert all(math.isnan(value) for _, value in shown.cells("record:word").values())
    turns, value = shown.cells("record:worth", round_bits=3, place_bits=1, lanes="lineage")[0]
    assert (turns, value / turns) == (8, pytest.approx((3.5 - 10.5 - 17.5) / 3))


def test_what_is_no_measure_is_refused(shown: Shown) -> None:
    refused = shown.monitor.get("/api/tile?run=a.journal&measure=luck")
    assert refused.status == 404
    assert "record:NAME" in refused.json["hint"]


@pytest.mark.parametrize(
    ("reply", "tokens"),
    [
        ('{"ok":{"text":"a \\"tokens\\":9","tokens":4}}', 4),
        ('{"ok":[[0.5]]}', 0),
        ('{"error":{"kind":"deadline","message":""}}', 0),
        ('{"ok":{"tokens":-1}}', 0),
        ('{"ok":{"tokens":"many"}}', 0),
        ("sha256:0", 0),
    ],
)
def test_tokens_of_a_reply(reply: str, tokens: int) -> None:
    assert tokens_written(reply) == tokens


def test_numbers_of_rounds_are_those_of_the_journal(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    def points(name: str) -> list[list[float]]:
        (line,) = shown.monitor.ask("numbers", run="a.journal", name=name)["lines"]
        return line["points"]

    with Journal.open(shown.path) as journal:
        rounds = list(journal.rounds.summaries(1))
        assert points("fuel") == [[one.round, 1, *[one.fuel] * 3] for one in rounds]
        lengths = {number: took for number, _, took in journal.timings.lengths()}
        assert points("time") == [[number, 1, *[took] * 3] for number, took in lengths.items()]
        tokens: dict[int, int] = {one.round: 0 for one in rounds}
        for number, _, count in journal.amounts.tokens(1, 100, 0, 100):
            tokens[number] += count
        assert points("tokens") == [[number, 1, *[count] * 3] for number, count in tokens.items()]
        monkeypatch.setattr(records, "POINTS_MAX", 2)
        for name, values in (("turns", [one.turns for one in rounds]), ("tokens", list(tokens.values()))):
            found = points(name)
            assert [point[0] for point in found] == [0, 2, 4]
            assert found[1] == [2, 2, min(values[1:3]), sum(values[1:3]) / 2, max(values[1:3])]
    assert shown.monitor.get("/api/numbers?run=a.journal&name=luck").status == 404
