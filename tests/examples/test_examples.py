"""The examples, played as their readers would, with their results."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path

import pytest

import turnwise

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_ping_pong(tmp_path: Path) -> None:
    with turnwise.run(EXAMPLES / "ping-pong", journal=tmp_path / "a.journal") as run:
        assert (run.status, run.result) == ("finished", "5 exchanges")
        assert [message.body for message in run.messages][:4] == ["ping 1", "pong 1", "ping 2", "pong 2"]
        assert (len(run.rounds), len(run.turns), len(run.failures)) == (11, 11, 0)
    assert turnwise.replay(tmp_path / "a.journal").difference is None


def test_the_night_watch_asks_a_person(tmp_path: Path) -> None:
    """Played by a script: the first is let in, the second when it has pleaded."""
    said = iter([{"open": True}, {"open": False, "say": "No."}, {"open": True, "say": "In you go."}])
    path = tmp_path / "a.journal"
    with turnwise.start(EXAMPLES / "night-watch", journal=path, workers=1) as live:
        while live.step() is not turnwise.NoRound.OVER:
            for asked in live.questions():
                assert (asked.agent, asked.deadline is not None) == ("guard", True)
                with pytest.raises(turnwise.UsageError, match="must be an object"):
                    live.answer(asked.id, "yes")
                assert live.answer(asked.id, next(said))
        with live.result() as run:
            assert (run.status, run.result) == ("finished", {"let_in": ["traveller-1", "traveller-2"]})
            head = run.head
    replayed = turnwise.replay(path)
    assert (replayed.difference, replayed.head) == (None, head)


def test_nobody_watches_and_nobody_is_let_in(tmp_path: Path) -> None:
    with turnwise.run(EXAMPLES / "night-watch", journal=tmp_path / "a.journal") as run:
        assert run.result == {"let_in": []}


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.exhaustive) for seed in (2, 3))])
def test_the_market_finds_its_price(seed: int, tmp_path: Path) -> None:
    with turnwise.run(EXAMPLES / "market", seed=seed, journal=tmp_path / "a.journal") as run:
        prices = [float(record.value) for record in run.records if record.name == "price"]
        trades = [record.value for record in run.records if record.name == "trades"]
        assert len(run.agents) == 21
        assert len(prices) == 30
        assert len(run.failures) == 0
        # Supply meets demand between 90 and 100, with five trades, or six at exactly 100.
        assert 90 <= run.result["price"] <= 100
        assert set(trades[-10:]) <= {5, 6}
        assert statistics.pstdev(prices[-10:]) < 1
        assert abs(prices[-1] - 95) <= 5
    assert turnwise.replay(tmp_path / "a.journal").difference is None


def test_the_market_is_the_same_market_every_time(tmp_path: Path) -> None:
    with turnwise.run(EXAMPLES / "market", journal=tmp_path / "a.journal") as run:
        assert run.result == {"auctions": 30, "price": 99.44}


def test_the_story_circle_goes_round(in_layout: Callable[[str], Path], tmp_path: Path) -> None:
    model = in_layout("genai-fp32")
    with turnwise.run(EXAMPLES / "story-circle", models={"storyteller": model}, journal=tmp_path / "a.journal") as run:
        assert run.status == "finished"
        assert run.result.startswith("Once upon a time, a dog found a red ball.")
        assert (len(run.rounds), len(run.turns), len(run.failures)) == (7, 13, 0)
        told = {agent.name: run.state(agent.name) for agent in run.agents if agent.kind == "narrator"}
        assert told == {f"narrator-{n}": '{"told":3}' for n in (1, 2, 3)}
        head = run.head
    with turnwise.run(
        EXAMPLES / "story-circle", models={"storyteller": model}, journal=tmp_path / "b.journal", workers=1
    ) as run:
        assert run.head == head
    assert turnwise.replay(tmp_path / "a.journal").difference is None


@pytest.mark.trained
def test_the_story_circle_tells_its_story(stories_models: Path, tmp_path: Path) -> None:
    models = {"storyteller": stories_models / "stories260k-genai-fp32"}
    with turnwise.run(EXAMPLES / "story-circle", models=models, journal=tmp_path / "a.journal") as run:
        greedy = [effect.reply for turn in run.turns if turn.agent == "narrator-1" for effect in turn.effects]
        assert " The ball was very happy. The ball was very happy." in greedy[0]
