"""A page shows what is asked, takes an answer as `turnwise answer` does, and follows the run to its end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import turnwise
from tests.monitor.petitions import petition, petitions
from tests.people.conftest import Page
from turnwise import UsageError
from turnwise.people.application import BODY_BYTES_MAX

Opened = Callable[..., Page]


def test_a_question_is_answered_and_the_run_goes_on_with_it(opened: Opened, tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    petition(path)
    page = opened(path, "clerk")
    now = page.now()
    (asked,) = now["questions"]
    assert (asked["id"], asked["agent"], asked["text"]["text"]) == (3, "clerk", "Sign <b>here</b>")
    assert (asked["schema"], asked["given"], now["played"]) == ({"enum": ["A", "B"]}, None, False)
    refused = page.answer(3, value="C")
    assert (refused.status, "one of" in refused.json["error"]) == (422, True), refused.json
    assert page.answer(3, text="2").json == {"question": 3, "taken": True}
    given = page.until(lambda found: found["questions"][0]["given"])
    assert given["questions"][0]["given"]["text"] == '"B"'
    assert not page.answer(3, value="A").json["taken"]
    turnwise.resume(path, workers=1).result().close()
    ended = page.until(lambda found: found["status"] != "open")
    assert (ended["questions"], json.loads(ended["result"]["text"])) == ([], [True, "no reason"])
    assert not page.answer(3, value="A").json["taken"]


def test_a_run_under_way_is_followed(opened: Opened, tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    with petitions().start(journal=path, workers=1, patience_s=None) as live:
        live.play()
        while not live.progress().questions:
            assert not live.wait(0.05)
        page = opened(path, "clerk")
        now = page.until(lambda found: [one["id"] for one in found["questions"]] == [1])
        assert now["played"]
        assert page.answer(1, value=False).json["taken"]
        assert page.until(lambda found: [one["id"] for one in found["questions"]] == [2])
        assert page.answer(2, text="it is wide").json["taken"]
        assert page.until(lambda found: [one["id"] for one in found["questions"]] == [3])
        assert page.answer(3, value="A").json["taken"]
        page.until(lambda found: found["status"] == "finished")
        with live.result() as run:
            assert run.result == [False, "it is wide"]
    assert turnwise.replay(path).difference is None


def test_other_agents_are_told_of_and_not_answered_for(opened: Opened, tmp_path: Path) -> None:
    petition(tmp_path / "a.journal")
    page = opened(tmp_path / "a.journal", "office")
    now = page.now()
    assert now["questions"] == []
    (other,) = now["others"]
    assert (other["id"], other["agent"], other["command"].split()[:2]) == (3, "clerk", ["turnwise", "answer"])
    assert page.answer(3, value="A").status == 422
    everybody = opened(tmp_path / "a.journal")
    assert [one["id"] for one in everybody.now()["questions"]] == [3]
    assert everybody.send("/api/talk").json["turns"] == []


@pytest.mark.parametrize(
    "body",
    [b"", b"no json", b"[]", b'{"question": "3", "value": 1}', b'{"question": true, "value": 1}', b'{"question": 3}',
     b'{"question": 3, "text": 1}', b"[" * 100_000, b" " * (BODY_BYTES_MAX + 1)],
)  # fmt: skip
def test_what_is_no_answer_is_refused(opened: Opened, tmp_path: Path, body: bytes) -> None:
    petition(tmp_path / "a.journal")
    page = opened(tmp_path / "a.journal")
    found = page.send("/api/answer", method="POST", body=body)
    assert (found.status, "error" in found.json) == (422, True)
    assert page.now()["questions"][0]["given"] is None


def test_an_agent_that_is_not_there_is_named(tmp_path: Path) -> None:
    petition(tmp_path / "a.journal")
    with pytest.raises(UsageError, match="no agent 'nobody'"):
        Page(tmp_path / "a.journal", "nobody")


def test_the_talk_has_mail_answers_and_what_was_sent(opened: Opened, tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    petition(path)
    assert turnwise.answer(path, 3, "B")
    turnwise.resume(path, workers=1).result().close()
    page = opened(path, "clerk")
    turns = page.send("/api/talk").json["turns"]
    assert [turn["round"] for turn in turns] == [2, 5, 8, 9]
    assert [len(turn["read"]) for turn in turns] == [1, 0, 0, 0]
    assert turns[0]["read"][0]["attach"] is not None
    answered = [(one["text"]["text"], one["answer"]["text"], one["default"]) for turn in turns for one in turn["asked"]]
    assert answered == [
        ("A bridge over the river?", "true", False),
        ("Why?", '"no reason", by default', True),
        ("Sign <b>here</b>", '"B"', False),
    ]
    assert [message["body"]["text"] for message in turns[3]["sent"]] == ["True: no reason"]
    later = page.send("/api/talk?after=5&before=9").json
    assert ([turn["round"] for turn in later["turns"]], later["first"]) == ([8], 6)
    assert page.send("/api/talk?after=x").status == 422
