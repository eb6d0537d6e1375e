"""`turnwise play` and `turnwise answer`: a person at a terminal."""

from __future__ import annotations

import io
import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

import turnwise
from tests.cli.conftest import Command
from tests.cli.test_run import start
from tests.cli.worlds import interrupt
from turnwise.core.question import AskedQuestion, Question
from turnwise.people.answer_text import value_for

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
WATCH = EXAMPLES / "night-watch"


@pytest.fixture
def types(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Somebody who types these lines."""
    return lambda *lines: monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


def test_a_person_answers_what_an_agent_asks(command: Command, types: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    types('{"open": true}', "maybe", '{"open": 1}', '{"open": false}', '{"open": true, "say": "In."}')
    ended = command("play", WATCH, "--as", "guard", "--journal", path, "--workers", "1")
    assert ended.code == 0
    assert "traveller-2 (plea 1): I come to see the king." in ended.out
    assert 'it must be an object, not "maybe"' in ended.out
    assert "open must be true or false, not 1" in ended.out
    with turnwise.open(path) as run:
        assert run.result == {"let_in": ["traveller-1", "traveller-2"]}
    assert command("replay", path).code == 0


def test_a_game_that_was_left_goes_on(command: Command, types: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    types('{"open": true}')
    left = command("play", WATCH, "--as", "guard", "--journal", path, "--workers", "1")
    assert left.code != 0
    assert "waits for an answer" in command("runs", tmp_path).out
    listed = json.loads(command("answer", path, "--json").out)["questions"]
    assert [(asked["id"], asked["agent"]) for asked in listed] == [(2, "guard")]
    assert "traveller-2 (plea 1)" in command("answer", path).out
    refused = command("answer", path, 2, '{"open": "no"}')
    assert refused.code == 2
    assert "open must be true or false" in refused.err
    assert command("answer", path, 9, "x").code == 2
    assert command("answer", path, 2, '{"open": true}').code == 0
    second = command("answer", path, 2, '{"open": false}')
    assert (second.code, "no effect" in second.out) == (1, True)
    types()
    ended = command("play", path, "--as", "guard", "--workers", "1")
    assert ended.code == 0
    with turnwise.open(path) as run:
        assert run.result == {"let_in": ["traveller-1", "traveller-2"]}
    log = command("log", path).out
    assert "guard, for an answer to question 2" in log
    assert 'to question 2: {"open":true}' in log
    fork = tmp_path / "fork.journal"
    rounds = json.loads(command("log", path, "--json").out)["log"]
    at = next(of["round"] for of in rounds if of["waits"])
    forked = command("fork", path, "--at", at, "--answer", '1={"open":false}', "-o", fork, "--workers", "1")
    assert forked.code == 0
    with turnwise.open(fork) as run:
        assert "traveller-1" not in run.result["let_in"]
    assert "answer to guard" in command("diff", path, fork).out


def test_a_person_takes_the_turns_of_any_agent(command: Command, types: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    types("pong: ping 1\\", "pong: ping 2", "ping 3", "/nonsense", "/finish enough")
    ended = command("play", EXAMPLES / "ping-pong", "--as", "ping", "--journal", path, "--workers", "1")
    assert "(no mail)" in ended.out
    assert "TEXT goes to pong" in ended.out
    assert "there is no command /nonsense" in ended.out
    with turnwise.open(path) as run:
        sent = [message.body for message in run.messages if message.sender == "ping"]
        assert sent == ["ping 1", "ping 2", "ping 3"]
    assert turnwise.replay(path).difference is None


def test_nobody_can_play_who_is_not_there(command: Command, tmp_path: Path) -> None:
    ended = command("play", EXAMPLES / "ping-pong", "--as", "pang", "--journal", tmp_path / "a.journal")
    assert ended.code == 2
    assert "nobody can play 'pang'" in ended.err


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        (None, "3", 3),
        (None, "plain words", "plain words"),
        ({"type": "string"}, "3", "3"),
        ({"type": "boolean"}, "Yes", True),
        ({"type": "boolean"}, "n", False),
        ({"enum": ["red", "blue"]}, "2", "blue"),
        ({"enum": ["red", "blue"]}, "red", "red"),
        ({"enum": [1, 2]}, "2", 2),
        ({"type": "integer"}, "7", 7),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "12", "12"),
        ({"type": "object"}, '{"a": 1}', {"a": 1}),
    ],
)
def test_answers_as_people_write_them(schema: Any, text: str, value: Any) -> None:
    assert value_for(AskedQuestion(1, "a", Question("?", schema), None, ""), text) == value


def post(address: str, question: int, value: Any) -> Any:
    """Answer as the page does whose address was printed."""
    root, _, token = address.partition("#")
    request = urllib.request.Request(
        f"{root}api/answer",
        json.dumps({"question": question, "value": value}).encode(),
        {"Authorization": f"Bearer {token}"},
    )
    with urllib.request.urlopen(request, timeout=60) as found:
        return json.loads(found.read())


def waiting(address: str, number: int) -> None:
    """Ask the page until a question waits."""
    root, _, token = address.partition("#")
    seen, found = "", []
    while number not in found:
        request = urllib.request.Request(f"{root}api/now?seen={seen}", headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            told = json.loads(answer.read())
        seen, found = told["version"], [one["id"] for one in told["questions"]]


def test_a_person_plays_on_a_page(tmp_path: Path) -> None:
    journal = tmp_path / "a.journal"
    arguments = ("play", WATCH, "--as", "guard", "--journal", journal, "--workers", "1", "--page")
    with start(*arguments, cwd=tmp_path) as process:
        assert process.stdout is not None
        address = next(line.removeprefix("page: ").strip() for line in process.stdout if line.startswith("page: "))
        for number in (1, 2):
            waiting(address, number)
            assert post(address, number, {"open": True})["taken"]
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "let_in" in out
    with turnwise.open(journal) as run:
        assert run.result == {"let_in": ["traveller-1", "traveller-2"]}


def test_a_stopped_run_is_answered_on_a_page(command: Command, types: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    types()
    command("play", WATCH, "--as", "guard", "--journal", path, "--workers", "1")
    with start("answer", path, "--page", "--as", "guard", cwd=tmp_path) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert "answers what guard asks" in process.stdout.readline()
        assert post(address, 1, {"open": True})["taken"]
        interrupt(process)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert "no effect" in command("answer", path, 1, '{"open": true}').out
    assert command("answer", path, "--page", "--as", "nobody").code == 2
    assert command("play", WATCH, "--as", "guard", "--open").code == 2
