"""The difference of two runs: where it begins, what it reached by which messages, and what it left alone."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import turnwise
from tests.guests import constant
from tests.history.forger import changed
from tests.journal.played import go_on
from tests.journal.rows_read import RowsRead
from tests.orchestrator.test_fork import halves
from tests.orchestrator.worlds import lively
from turnwise import Agent, Grants, InitialMessage, JournalError, Model, World
from turnwise.core.turn import TurnOutput
from turnwise.journal import Journal

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
    turnwise.run(world, journal=path, workers=1).close()
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


def test_agents_of_one_name_in_worlds_that_share_nothing_are_not_related(tmp_path: Path) -> None:
    idle = Agent("def turn(t):\n    t.log('here')\n", start=True)
    other = turnwise.World(name="other", agents=dict.fromkeys(("a", "d"), idle))
    left = played(tmp_path, "a", chain())
    assert not turnwise.diff(left, played(tmp_path, "b", other)).related
    same_name = turnwise.World(name="chain", agents=dict.fromkeys(("a", "d"), idle))
    assert turnwise.diff(left, played(tmp_path, "c", same_name)).related
    one_turn = turnwise.World(name="other", agents={"a": idle, "e": Agent(RELAY)}, messages=[InitialMessage("e", "x")])
    assert turnwise.diff(left, played(tmp_path, "d", one_turn)).related


def room(word: str = "red", *, members: tuple[str, ...] = ("b", "c")) -> World:
    """a tells a room of a word, and later of nothing new; d hears of no room."""
    speaks = 'def turn(t):\n    t.send("room", t.args["word"] if t.turn == 1 else "bye")\n    t.wake_in(1)\n'
    agents = {name: Agent(RELAY, groups=["room"] if name in members else []) for name in ("b", "c", "d")}
    speaker = Agent(speaks, start=True, args={"word": word}, groups=["room"], grants=Grants(send=["room"]))
    return turnwise.World(name="room", rounds_max=4, agents={"a": speaker, **agents})


def test_a_difference_reaches_a_group_and_the_group_is_named(tmp_path: Path) -> None:
    found = turnwise.diff(played(tmp_path, "red", room("red")), played(tmp_path, "blue", room("blue")))
    told = [(turn.round, turn.agent, turn.causes, turn.groups) for turn in found.turns]
    assert told[:3] == [(1, "a", (), ()), (2, "b", ("a",), ("room",)), (2, "c", ("a",), ("room",))]
    assert [(turn.causes, turn.groups) for turn in found.turns[3:]] == [((turn.agent,), ()) for turn in found.turns[3:]]
    assert set(found.unreached) == {"d"}


def test_who_is_in_a_group_in_one_run_only_has_it_from_the_group_and_not_from_the_sender(tmp_path: Path) -> None:
    left, right = played(tmp_path, "b", room(members=("b",))), played(tmp_path, "bd", room(members=("b", "d")))
    found = turnwise.diff(left, right)
    assert {turn.agent for turn in found.turns} == {"d"}
    assert found.first is not None
    assert (found.first.causes, found.first.groups) == ((), ("room",))
    assert set(found.unreached) == {"a", "b", "c"}


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


ASKS = """
def turn(t):
    answer = t.generate("demo", "Ada: One lamp.", tokens_max=12, temperature=1.0, logprobs=2)
    t.state["said"] = answer.text
    t.record("tokens", answer.tokens)
"""


def asking(seed: int) -> World:
    """One agent that asks the bundled model, with log probabilities."""
    agent = Agent(ASKS, start=True, grants=Grants(generate=["demo"]))
    return turnwise.World(name="asks", seed=seed, agents={"a": agent}, models={"demo": Model("builtin:demo")})


def test_answers_part_in_a_token_whose_probability_is_told(tmp_path: Path) -> None:
    paths = [played(tmp_path, f"s{seed}", asking(seed)) for seed in (1, 2)]
    found = turnwise.diff(*paths)
    assert found.first is not None
    parting = found.first.parting
    assert found.first.what == "effect 0: reply"
    assert parting is not None
    effects = []
    for path in paths:
        with turnwise.open(path) as run:
            [turn] = run.turns
            effects.append(turn.effects[0])
    replies = [json.loads(effect.reply)["ok"] for effect in effects]
    tokens = [effect.tokens for effect in effects]
    assert parting.token is not None
    assert tokens[0][: parting.token] == tokens[1][: parting.token]
    sides = parting.left, parting.right
    assert [side.id for side in sides] == [each[parting.token] for each in tokens]
    assert parting.left.id != parting.right.id
    assert [parting.before + side.text for side in sides] == [reply["text"] for reply in replies]
    assert [side.logprob for side in sides] == [reply["logprobs"][parting.token]["logprob"] for reply in replies]
    # Both have read the same, so the model thought the same of what comes next.
    assert parting.left.top == parting.right.top
    assert len(parting.left.top) == 2


def test_totals_are_those_of_the_runs_or_of_one_agent(tmp_path: Path) -> None:
    paths = played(tmp_path, "red", chain("red")), played(tmp_path, "blue", chain("blue"))
    for agent in (None, "d"):
        totals = turnwise.diff(*paths, agent=agent).totals
        for path, total in zip(paths, totals, strict=True):
            with turnwise.open(path) as run:
                turns = [turn for turn in run.turns if agent in (None, turn.agent)]
            assert total.turns == len(turns)
            assert total.fuel == sum(turn.fuel for turn in turns)
            assert (total.failed, total.effects, total.tokens) == (0, 0, 0)
    assert turnwise.diff(*paths).totals[0].messages == 2


# -- runs that are of one family --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("family") / "root.journal"
    turnwise.run(lively(rounds_max=60), journal=path, workers=1).close()
    return path


def forked(parent: Path, at: int, path: Path, **changes: Any) -> Path:
    turnwise.fork(parent, at, journal=path, workers=1, **changes).result().close()
    return path


def made_whole(fork: Path, folder: Path) -> Path:
    """A copy of a fork that does not say any more from whom it has its beginning."""
    folder.mkdir(exist_ok=True)
    copy = Path(shutil.copy(fork, folder / f"{fork.stem}-whole.journal"))
    turnwise.detach(copy, parents=[fork.parent])
    return copy


CHANGES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "a seed": {"seed": 77},
    "a state": {"states": {"AGENT": "x"}},
    "a message": {"messages": {"hub": "hear"}},
    "who lives": {"stop": ["AGENT"]},
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_fork_is_compared_from_where_it_left_its_parent(root: Path, tmp_path: Path, change: str) -> None:
    with Journal.open(root) as journal:
        living = [agent.name for agent in journal.machine.at(40).world.agents if agent.alive]
    given = json.loads(json.dumps(CHANGES[change]).replace("AGENT", living[0]))
    fork = forked(root, 40, root.with_name(f"{change}.journal"), **given)
    whole = made_whole(fork, tmp_path)
    for agent in (None, "lively-1", "nobody"):
        for left, right, read_all in ((root, fork, (root, whole)), (fork, root, (whole, root))):
            found, expected = turnwise.diff(left, right, agent=agent), turnwise.diff(*read_all, agent=agent)
            assert (found.common, expected.common) == (40, 0)
            assert replace(found, common=0) == expected
            assert found.equal is (change in ("nothing", "a state"))  # which no turn of theirs looks at
    assert found.totals[0].turns == 0
    assert turnwise.diff(root, fork).totals[0].turns > 100


def test_members_of_a_family_begin_where_they_part(root: Path, tmp_path: Path) -> None:
    one = forked(root, 30, root.with_name("one.journal"), seed=55)
    two = forked(root, 40, root.with_name("two.journal"), seed=66)
    child = forked(one, 45, root.with_name("child.journal"), messages={"hub": "hear"})
    for left, right, common in ((one, two, 30), (one, child, 45), (child, root, 30), (child, two, 30)):
        found = turnwise.diff(left, right)
        assert found.common == common
        assert replace(found, common=0) == turnwise.diff(made_whole(left, tmp_path), made_whole(right, tmp_path))
    stranger = tmp_path / "stranger.journal"
    turnwise.run(lively(seed=9, rounds_max=50), journal=stranger, workers=1).close()
    assert turnwise.diff(child, stranger).common == 0


def test_the_common_beginning_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    awake = Agent(constant({"state": "x", "wake_in": 1}), count=100, start=True)
    run, fork = tmp_path / "run.journal", tmp_path / "fork.journal"
    with turnwise.World(name="awake", rounds_max=99, agents={"agent": awake}).start(journal=run, workers=1) as live:
        live.step()
    go_on(run, 45, lambda _: TurnOutput("x", wake_in=1))
    with turnwise.fork(run, 40, journal=fork, workers=1, states={"agent-7": "y"}) as live:
        live.step()
    whole = made_whole(fork, tmp_path / "elsewhere")
    read = RowsRead(monkeypatch)
    found = turnwise.diff(run, fork)
    assert (found.common, found.rounds, found.totals[0].turns, found.totals[1].turns) == (40, 45, 4_500, 4_100)
    assert 600 <= read.by_table["turns"] < 700
    read.by_table.clear()
    assert turnwise.diff(run, whole).totals == found.totals
    assert read.by_table["turns"] >= 8_600


def test_tokens_of_the_common_beginning_are_counted(tmp_path: Path) -> None:
    run = turnwise.run(halves(), journal=tmp_path / "run.journal", workers=1)
    fork = forked(run.path, 3, tmp_path / "fork.journal", overrides=["agents.a-1.args.mood=sad"])
    whole = made_whole(fork, tmp_path)
    for agent in (None, "b-1"):
        found = turnwise.diff(run.path, fork, agent=agent)
        assert found.totals[0].tokens > found.totals[0].effects > 3
        assert replace(found, common=0) == turnwise.diff(run.path, whole, agent=agent)
