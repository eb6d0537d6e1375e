"""Questions to people are told wherever one may look for them: in a turn, a round, a conversation, a search, a list."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import turnwise
from tests.monitor.conftest import Monitor
from tests.monitor.petitions import granted, petition
from turnwise.journal.journal import Journal
from turnwise.journal.read.waits import Wait
from turnwise.monitor.answers.clock import spans
from turnwise.monitor.answers.questions import reply_text

WAITS = [[1, 2, 5, "people"], [1, 5, 8, "people"], [1, 8, None, "people"]]
"""Lane, round that asks, round that goes on, who answers."""


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitor]:
    folder = tmp_path_factory.mktemp("petitions")
    petition(folder / "open.journal")
    granted(folder / "granted.journal")
    found = Monitor(folder)
    yield found
    found.close()


def fates(questions: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Number, fate, round of the answer, answer."""
    return [(one["id"], one["fate"], one["answered"], one["answer"] and one["answer"]["text"]) for one in questions]


def test_a_turn_has_what_it_asked_in_all_rounds_in_which_it_waited(shown: Monitor) -> None:
    turn = shown.ask("turn", run="granted.journal", agent="clerk", round=9)
    assert (turn["waits"], turn["parts"], turn["turn"]) == (False, [2, 5, 8], 1)
    assert fates(turn["asked"]) == [(1, "answered", 5, "true"), (2, "overdue", None, None), (3, "answered", 9, '"B"')]
    assert [(one["kind"], one["round"]) for one in turn["effects"]] == [
        ("generate", 2), ("ask", 5), ("ask", 8), ("ask", 9),
    ]  # fmt: skip
    assert turn["inbox"][0]["attach"]["text"]
    assert [message["body"]["text"] for message in turn["sent"]] == ["True: no reason"]
    assert turn["fuel_before"] > 0
    assert shown.ask("turn", run="granted.journal", agent="clock", round=1)["parts"] == []


def test_a_turn_that_waits_is_told_as_far_as_it_came(shown: Monitor) -> None:
    turn = shown.ask("turn", run="open.journal", agent="clerk", round=5)
    assert (turn["waits"], turn["parts"], turn["state"], turn["failure"], turn["sent"]) == (True, [2], None, None, [])
    assert [one["id"] for one in turn["asked"]] == [1, 2]
    last = shown.ask("turn", run="open.journal", agent="clerk", round=8)
    assert fates(last["asked"])[-1] == (3, "waits", None, None)
    assert last["asked"][1]["default"]["text"] == '"no reason"'
    assert shown.get("/api/turn?run=open.journal&agent=clerk&round=3").status == 404


def test_a_round_says_who_waits_and_what_was_answered(shown: Monitor) -> None:
    found = shown.ask("round", run="open.journal", round=5)
    assert [(one["question"], one["asked"], one["agent"], one["text"]["text"]) for one in found["answers"]] == [
        (1, 2, "clerk", "true")
    ]
    (waits,) = found["waits"]
    assert (waits["agent"], waits["asked"][0]["text"], waits["asked_count"]) == ("clerk", "Why?", 1)
    assert [turn["agent"] for turn in found["turns"]] == ["clock"]


@pytest.mark.parametrize("agents", [[], ["clerk"]], ids=["all", "the one that asks"])
def test_a_conversation_has_each_question_each_answer_and_each_default_once(shown: Monitor, agents: list[str]) -> None:
    turns = shown.ask("conversation", run="granted.journal", agent=agents)["turns"]
    asked = [(turn["round"], one["id"]) for turn in turns for one in turn.get("asked", ())]
    assert asked == [(2, 1), (5, 2), (8, 3)]
    replies = [(turn["round"], turn["agent"], one["question"]) for turn in turns for one in turn.get("replies", ())]
    assert replies == [(5, "outside", 1), (9, "outside", 3)]
    taken = [(turn["round"], one["text"]["text"]) for turn in turns for one in turn.get("defaults", ())]
    assert taken == [(8, "Why?")]
    assert [turn["round"] for turn in turns if turn["answers"]] == [2]
    sent = [message["attach"] is not None for turn in turns for message in turn["sent"]]
    assert sent == ([False] if agents else [True, False])


def test_a_conversation_of_others_has_no_questions(shown: Monitor) -> None:
    turns = shown.ask("conversation", run="granted.journal", agent=["office"])["turns"]
    assert [turn["agent"] for turn in turns] == ["office"]


def test_a_search_finds_questions_and_answers_once(shown: Monitor) -> None:
    hits = shown.ask("search", run="granted.journal", text="Sign")["hits"]
    assert [(hit["what"], hit["round"], hit["agent"]) for hit in hits] == [("question", 8, "clerk")]
    hits = shown.ask("search", run="granted.journal", text='"B"')["hits"]
    assert [(hit["what"], hit["round"], hit["agent"]) for hit in hits] == [("reply", 9, "clerk")]


def test_waits_go_from_asking_to_going_on(shown: Monitor) -> None:
    assert shown.ask("waits", run="open.journal") == {"waits": WAITS, "hidden": 0}
    ended = shown.ask("waits", run="granted.journal")["waits"]
    assert ended == [*WAITS[:2], [1, 8, 9, "people"]]
    assert shown.ask("waits", run="open.journal", first=6, last=7)["waits"] == [WAITS[1]]
    assert shown.ask("waits", run="open.journal", row_first=2)["waits"] == []
    assert shown.ask("waits", run="open.journal", lanes="lineage")["waits"] == WAITS
    assert shown.ask("waits", run="open.journal", lanes="lineage", row_first=2)["waits"] == []


def test_more_waits_than_are_told_are_counted(shown: Monitor) -> None:
    with Journal.open(shown.place / "open.journal") as journal:
        assert journal.rounds.parks.waits(1, 100, range(10), 1) == ([Wait(1, 2, 5, True)], 3)


def test_a_wait_ends_where_a_fork_has_the_turn_begun_anew(tmp_path: Path) -> None:
    petition(tmp_path / "a.journal")
    fork = tmp_path / "fork.journal"
    with turnwise.fork(tmp_path / "a.journal", 3, overrides=["agents.clerk.args.new=1"], journal=fork) as live:
        while live.step():
            pass
    with Journal.open(fork) as journal:
        found, _ = journal.rounds.parks.waits(1, 100, range(10), 10)
        rounds = [(one.asked, one.until) for one in found]
        assert rounds[0] == (2, rounds[1][0])
        assert rounds[-1][1] is None


def test_the_summary_and_the_list_count_what_waits(shown: Monitor) -> None:
    found = shown.ask("summary", run="open.journal")
    assert (len(found["questions"]), found["waits"]) == (1, 3)
    assert shown.ask("summary", run="granted.journal")["questions"] == []
    rows = {row["name"]: row["questions"] for row in shown.ask("runs")["runs"]}
    assert rows == {"open.journal": 1, "granted.journal": 0}


def test_a_question_of_a_run_that_is_over_is_left(tmp_path: Path) -> None:
    code = 'def turn(t):\n    t.ask("May I?")\n'
    agents = {
        "asker": turnwise.Agent(code, start=True, grants=turnwise.Grants(ask=True)),
        "other": turnwise.Agent(
            "def turn(t):\n    t.finish(1) if t.turn == 2 else t.wake_in(1)\n",
            start=True,
            grants=turnwise.Grants(finish=True),
        ),
    }
    turnwise.run(turnwise.World("w", agents=agents), journal=tmp_path / "a.journal").close()
    monitor = Monitor(tmp_path)
    try:
        turn = monitor.ask("turn", run="a.journal", agent="asker", round=1)
        assert fates(turn["asked"]) == [(1, "left", None, None)]
    finally:
        monitor.close()


def test_replies_of_another_kind_stand_as_they_are() -> None:
    assert reply_text("call", '{"ok":1}') == '{"ok":1}'
    assert reply_text("ask", '{"ok":{"answer":[1]}}') == "[1]"


def test_by_the_clock_effects_of_models_have_their_name_and_their_time(shown: Monitor) -> None:
    with Journal.open(shown.place / "open.journal") as journal:
        times = journal.timings.round(2)
        assert times is not None
        found = spans(journal, 1, 8, 0, 9)["spans"]
        (effects,) = [effects for number, place, _, _, effects, _ in found if (number, place) == (2, 1)]
        assert effects == [(*times.effects[1, 0], "model", "m")]
        assert [effects for *_, effects, _ in spans(journal, 1, 8, 0, 0)["spans"] if effects] == []
