"""One turn of a journal is played again in this process, with what it was answered, and compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import turnwise
from tests.monitor.petitions import granted
from turnwise.core.turn import Completed, Failed
from turnwise.errors import UsageError
from turnwise.history.turn_again import play_again

SPEAKER = '''
import lines

def turn(t):
    """Say something."""
    t.state = (t.state or 0) + 1
    word = t.generate("m", "A rug", tokens_max=3).text
    handle = t.put(b"content")
    t.send("other", lines.of(word, len(t.get(handle))), attach=handle)
    t.record("seen", len(t.inbox))
    if t.turn == 3:
        raise ValueError("the third")
    t.wake_in(1)
'''
OTHER = "def turn(t):\n    for message in t.inbox:\n        t.send('speaker', message.body)\n"


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two agents that speak, of which one fails; with a module of its own, a model and a content."""
    folder = tmp_path_factory.mktemp("again")
    (folder / "speaker.py").write_text(SPEAKER)
    (folder / "lines.py").write_text("def of(word, size):\n    return f'{word} {size}'\n")
    grants = turnwise.Grants(send=["*"], generate=["m"])
    agents = {
        "speaker": turnwise.Agent("speaker.py", start=True, grants=grants),
        "other": turnwise.Agent(OTHER, grants=grants),
    }
    models = {"m": turnwise.Model("builtin:demo")}
    world = turnwise.World("again", rounds_max=5, agents=agents, models=models, folder=folder)
    turnwise.run(world, journal=folder / "a.journal", workers=1).close()
    return folder / "a.journal"


def test_every_turn_comes_to_what_was_recorded(played: Path) -> None:
    with turnwise.open(played) as run:
        turns = [(turn.agent, turn.round, turn.failure is not None) for turn in run.turns]
    assert len(turns) > 5
    assert [failed for _, _, failed in turns].count(True) == 1
    for agent, number, failed in turns:
        again = play_again(played, agent, number)
        assert again.difference is None
        assert isinstance(again.outcome, Failed if failed else Completed)


def test_a_turn_that_waits_and_goes_on_is_played_from_what_it_was_told(tmp_path: Path) -> None:
    granted(tmp_path / "a.journal")
    with turnwise.open(tmp_path / "a.journal") as run:
        rounds = [park.round for park in run.parks]
        last = next(turn.round for turn in run.turns if turn.agent == "clerk")
    for number in rounds:
        again = play_again(tmp_path / "a.journal", "clerk", number)
        assert (again.outcome, again.difference) == (None, None)
    assert play_again(tmp_path / "a.journal", "clerk", last).difference is None


def test_code_stands_in_files_under_its_own_names(played: Path) -> None:
    seen: list[tuple[str, str, str]] = []

    def around(play: Callable[[], None], file: Path) -> bool:
        seen.append((file.name, file.read_text(), file.with_name("lines.py").read_text()[:6]))
        play()
        return True

    assert play_again(played, "speaker", 1, around=around).difference is None
    assert seen == [("speaker.py", SPEAKER, "def of")]


def test_what_another_turn_comes_to_is_a_difference(played: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turnwise_guest.turn.Turn.record", lambda *_: None)
    assert play_again(played, "speaker", 1).difference == "its output is another one"
    monkeypatch.undo()
    assert (
        play_again(played, "speaker", 1, around=lambda play, file: False).difference
        == "it was left before it had ended"
    )


def test_effects_that_ask_for_something_else_are_told(played: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turnwise_guest.turn.Turn.put", lambda *_: "another")
    again = play_again(played, "speaker", 1)
    assert again.difference is not None


def test_what_cannot_be_played_again_is_refused(played: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="other has no turn in round 1"):
        play_again(played, "other", 1)
    from tests.cli.worlds import TICKS, make_world

    world = make_world(tmp_path / "w", {"tick.wat": TICKS}, rounds_max=2)
    turnwise.run(world, journal=tmp_path / "b.journal", workers=1).close()
    with pytest.raises(UsageError, match="is written in wat"):
        play_again(tmp_path / "b.journal", "tick", 1)
