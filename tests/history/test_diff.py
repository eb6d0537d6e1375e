"""The difference of two runs: where it begins, what it reached by which messages, and what it left alone."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

import turnwise
from tests.history.forger import changed
from tests.orchestrator.worlds import lively
from turnwise import Agent, Grants, InitialMessage, JournalError, World

RELAY = """
def turn(t):
    for message in t.inbox:
        t.state["heard"] = t.state.get("heard", []) + [message.body]
        for name in t.args.get("to", []):
            t.send(name, message.body + "!")
    if t.args.get("word") and t.turn == 1:
        t.send(t.args["to"][0], t.args["word"])
        t.wake_in(1)
    if t.args.get("counts") and t.turn < 4:
        t.state["turns"] = t.turn
        t.wake_in(1)
"""


def chain(word: str = "red", *, source: str = RELAY, seed: int = 3) -> World:
    """a tells b, b tells c; d counts by itself, and e hears of it from outside."""
    send = Grants(send=["*"])
    return turnwise.World(
        name="chain",
        seed=seed,
        rounds_max=8,
        agents={
            "a": Agent(source, start=True, args={"word": word, "to": ["b"]}, grants=send),
            "b": Agent(RELAY, args={"to": ["c"]}, grants=send),
            "c": Agent(RELAY),
            "d": Agent(RELAY, start=True, args={"counts": True}),
            "e": Agent(RELAY),
        },
        messages=[InitialMessage("e", "hello")],
    )


def played(folder: Path, name: str, world: World) -> Path:
    path = folder / f"{name}.journal"
    turnwise.run(world, journal=path).close()
    return path


def test_a_run_and_itself_by_other_means_are_equal(tmp_path: Path) -> None:
    one, two = (tmp_path / f"{workers}.journal" for workers in (1, 2))
    for workers, path in ((1, one), (2, two)):
        turnwise.run(lively(), journal=path, workers=workers).close()
    found = turnwise.diff(one, two)
    assert found.equal
    assert (found.first, found.count, found.reached, found.plan, found.end) == (None, 0, {}, (), None)


def test_one_word_reaches_who_was_told_and_nobody_else(tmp_path: Path) -> None:
    found = turnwise.diff(played(tmp_path, "red", chain("red")), played(tmp_path, "blue", chain("blue")))
    assert not found.equal
    assert [(name, left, right) for name, left, right in found.plan if "word" in name or "args" in name]
    assert found.first is not None
    assert (found.first.round, found.first.agent, found.first.what) == (1, "a", "sent")
    told = [(turn.round, turn.agent, turn.what, turn.causes) for turn in found.turns]
    assert told == [(1, "a", "sent", ()), (2, "b", "read", ("a",)), (3, "c", "read", ("b",))]
    assert found.reached == {"a": 1, "b": 2, "c": 3}
    assert found.unreached == ("d", "e")
    assert found.end is None


def test_another_code_that_does_the_same_is_no_difference(tmp_path: Path) -> None:
    same = played(tmp_path, "same", chain(source=RELAY + "\n# another hash\n"))
    found = turnwise.diff(played(tmp_path, "red", chain()), same)
    assert found.equal
    assert any("code" in name for name, _, _ in found.plan)


def test_a_turn_that_is_in_one_run_only(tmp_path: Path) -> None:
    later = RELAY.replace('t.wake_in(1)\n    if t.args.get("counts")', 't.wake_in(2)\n    if t.args.get("counts")')
    assert later != RELAY
    found = turnwise.diff(played(tmp_path, "now", chain()), played(tmp_path, "later", chain(source=later)))
    told = [(turn.round, turn.agent, turn.what, turn.left, turn.right, turn.causes) for turn in found.turns]
    assert told[:3] == [
        (1, "a", "wake_in", 1, 2, ()),
        (2, "a", "turn", "a turn", None, ("a",)),
        (3, "a", "turn", None, "a turn", ("a",)),
    ]
    assert set(found.reached) == {"a"}


def test_seeds_reach_those_who_use_chance(tmp_path: Path) -> None:
    found = turnwise.diff(played(tmp_path, "5", lively(seed=5)), played(tmp_path, "6", lively(seed=6)))
    assert ("seed", 5, 6) in found.plan
    assert found.first is not None
    assert found.first.causes == ()
    only = turnwise.diff(tmp_path / "5.journal", tmp_path / "6.journal", agent="hub")
    assert {turn.agent for turn in only.turns} == {"hub"}
    assert only.first == found.first


def test_how_runs_ended_is_compared(tmp_path: Path) -> None:
    finish = "def turn(t):\n    t.finish({word!r})\n"
    paths = [
        played(
            tmp_path,
            word,
            turnwise.World(
                name="w", agents={"a": Agent(finish.format(word=word), start=True, grants=Grants(finish=True))}
            ),
        )
        for word in ("one", "two")
    ]
    found = turnwise.diff(*paths)
    assert found.end is not None
    assert found.end.expected == ("finished", 1, '"one"', None)
    assert found.turns[0].what == "finish"


def test_worlds_that_share_nothing(tmp_path: Path) -> None:
    other = turnwise.World(name="other", agents={"x": Agent("def turn(t):\n    pass\n", start=True)})
    found = turnwise.diff(played(tmp_path, "a", chain()), played(tmp_path, "b", other))
    assert (found.related, found.equal) == (False, False)


def test_what_is_kept_is_bounded_and_all_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = played(tmp_path, "red", chain("red")), played(tmp_path, "blue", chain("blue"))
    monkeypatch.setattr(import_module("turnwise.history.diff"), "TURNS_KEPT_MAX", 1)
    found = turnwise.diff(*paths)
    assert (found.count, len(found.turns), len(found.reached)) == (3, 1, 3)


def test_a_damaged_journal_is_not_compared(tmp_path: Path) -> None:
    path = played(tmp_path, "red", chain())
    forged = changed(path, tmp_path, "UPDATE turns SET state = 'forged' WHERE round = 2")
    with pytest.raises(JournalError, match="outcome"):
        turnwise.diff(path, forged)
