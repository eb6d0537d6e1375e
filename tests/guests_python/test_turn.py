"""`Turn`: every way to use it, natively, with envelopes in and out."""

from __future__ import annotations

import json
import random
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from typing import Any

import pytest

from turnwise_guest import Answer, Message, NotJSON, Turn
from turnwise_guest.testing import make_turn, outcome
from turnwise_guest.turn import output

from .conftest import ENVELOPE, no_bytes, no_effect


def turn_of(**changes: Any) -> Turn:
    return Turn({**ENVELOPE, **changes}, no_effect, no_bytes)


def test_what_a_turn_is_given() -> None:
    inbox = [{"from": "editor", "round": 2, "body": "one"}, {"from": "outside", "round": 1, "body": '{"bid":3}'}]
    t = turn_of(args={"mood": "sad"}, inbox=inbox, now_us=1_500_000)
    assert (t.self_name, t.kind, t.round, t.turn) == ("narrator-1", "narrator", 3, 2)
    assert t.args == {"mood": "sad"}
    assert [(m.sender, m.body, m.round) for m in t.inbox] == [("editor", "one", 2), ("outside", '{"bid":3}', 1)]
    assert t.inbox[1].json() == {"bid": 3}
    assert t.now() == datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=timezone.utc)  # noqa: UP017
    assert t.now() is t.now()
    assert repr(t) == "<Turn 2 of narrator-1 in round 3>"


def test_a_message_cannot_be_changed() -> None:
    t = turn_of(inbox=[{"from": "editor", "round": 2, "body": "one"}])
    with pytest.raises(AttributeError):
        t.inbox[0].body = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", {}),
        ("{}", {}),
        ('{"told":2}', {"told": 2}),
        ("[1]", [1]),
        ("null", None),
        ('"a"', "a"),
        ("plain {", "plain {"),
        ("NaN", "NaN"),
    ],
)
def test_state_is_read_as_json_or_taken_as_it_is(text: str, value: object) -> None:
    assert turn_of(state=text).state == value


def test_state_survives_as_canonical_json() -> None:
    t = turn_of(state='{"told":2}')
    t.state["told"] += 1
    t.state["ärger"] = [1.5, None, True, (1, 2)]
    assert json.loads(output(t)) == {"state": '{"told":3,"ärger":[1.5,null,true,[1,2]]}'}


def test_an_untouched_turn_leaves_its_state_only() -> None:
    assert output(turn_of(state='{"a":1}')) == '{"state":"{\\"a\\":1}"}'


def test_chance_is_the_seeds_alone() -> None:
    first = turn_of().random.random()
    random.seed(1)
    t = turn_of()
    random.random()
    assert t.random.random() == first
    assert t.random is t.random
    assert turn_of(seed="0a").random.random() != first


def test_logs() -> None:
    t = turn_of()
    t.log("one")
    t.log(Fraction(1, 2), level="debug")
    assert outcome(t)["log"] == [{"level": "info", "text": "one"}, {"level": "debug", "text": "1/2"}]
    with pytest.raises(ValueError, match="debug, info, warning, error, not 'loud'"):
        t.log("x", level="loud")  # type: ignore[arg-type]


def test_records() -> None:
    t = turn_of()
    for value in (3, -(2**63), 3.5, "text", 2**63 - 1):
        t.record("price", value)
    assert [item["value"] for item in outcome(t)["record"]] == [3, -(2**63), 3.5, "text", 2**63 - 1]


@pytest.mark.parametrize(
    ("value", "error", "match"),
    [
        (True, TypeError, "a number or a text, not True"),
        (None, TypeError, "not None"),
        ([1], TypeError, r"not \[1\]"),
        (float("nan"), ValueError, "'price' is nan"),
        (float("-inf"), ValueError, "'price' is -inf"),
        (2**63, ValueError, "beyond 64 bits"),
        (-(2**63) - 1, ValueError, "beyond 64 bits"),
        ("half \udc00", NotJSON, "index 5"),
    ],
)
def test_records_that_no_table_can_hold(value: Any, error: type[Exception], match: str) -> None:
    t = turn_of()
    with pytest.raises(error, match=match):
        t.record("price", value)
    assert "record" not in outcome(t)


def test_messages_are_texts_or_json() -> None:
    t = turn_of()
    t.send("editor", "plain")
    t.send("writers", {"b": 1, "a": [None, "ü"]})
    t.send("editor", 5)
    assert [item["body"] for item in outcome(t)["send"]] == ["plain", '{"a":[null,"ü"],"b":1}', "5"]
    assert [item["to"] for item in outcome(t)["send"]] == ["editor", "writers", "editor"]


@pytest.mark.parametrize(
    ("to", "body", "error", "match"),
    [
        ("", "x", ValueError, "to is empty"),
        (5, "x", TypeError, "to is a text, not 5"),
        ("a", {1, 2}, NotJSON, r"body is a set, .*sorted"),
        ("a", {"x": b"1"}, NotJSON, r"body\['x'\] is a bytes, .*hex"),
        ("a", "\ud800", NotJSON, "lone surrogate, U\\+D800"),
        ("\ud800", "x", NotJSON, "to has half a character"),
    ],
)
def test_messages_that_cannot_be_sent(to: Any, body: Any, error: type[Exception], match: str) -> None:
    t = turn_of()
    with pytest.raises(error, match=match):
        t.send(to, body)
    assert "send" not in outcome(t)


def test_what_was_sent_does_not_change_with_what_it_was_made_from() -> None:
    t = turn_of()
    body, args = {"bid": 1}, {"n": [1]}
    t.send("a", body)
    t.spawn("kind", "b", args)
    t.finish(args)
    body["bid"] = 2
    args["n"].append(2)
    left = outcome(t)
    assert left["send"][0]["body"] == '{"bid":1}'
    assert left["spawn"][0]["args"] == left["finish"] == {"n": [1]}


def test_the_last_alarm_counts() -> None:
    t = turn_of()
    t.wake_in(2)
    t.wake_in(9)
    assert outcome(t)["wake_in"] == 9


@pytest.mark.parametrize(
    ("rounds", "error"), [(0, ValueError), (-1, ValueError), (2**31, ValueError), (1.0, TypeError), (True, TypeError)]
)
def test_wake_ups_that_make_no_sense(rounds: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="rounds is"):
        turn_of().wake_in(rounds)


def test_spawning_and_stopping() -> None:
    t = turn_of()
    t.spawn("writer", "writer-4")
    t.spawn("writer", "writer-5", {"mood": "sad"}, {"told": 0})
    t.stop("writer-1")
    left = outcome(t)
    assert left["spawn"] == [
        {"kind": "writer", "name": "writer-4"},
        {"kind": "writer", "name": "writer-5", "args": {"mood": "sad"}, "state": '{"told":0}'},
    ]
    assert left["stop"] == ["writer-1"]
    with pytest.raises(TypeError, match="args is a dict"):
        t.spawn("writer", "writer-6", [1])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="name is empty"):
        t.stop("")


def test_the_last_result_counts_and_none_is_one() -> None:
    t = turn_of()
    t.finish("draft")
    t.finish()
    assert outcome(t)["finish"] is None
    with pytest.raises(NotJSON, match=r"result\['when'\] is a timedelta"):
        t.finish({"when": timedelta(1)})


def test_a_result_keeps_the_order_of_its_keys() -> None:
    t = turn_of()
    t.finish({"winner": "anna", "bids": [{"round": 2, "at": (1, 2)}], "0": "ü"})
    assert output(t) == '{"finish":{"winner":"anna","bids":[{"round":2,"at":[1,2]}],"0":"ü"},"state":"{}"}'


def test_a_turn_knows_how_much_mail_waits() -> None:
    assert turn_of().backlog == 0
    assert turn_of(backlog=3).backlog == 3
    assert make_turn(inbox=[("editor", "A dog.")], backlog=2).backlog == 2
    assert make_turn().backlog == 0


def test_state_that_is_no_json_is_named() -> None:
    t = turn_of()
    t.state["prices"] = {"oil": {1, 2}}
    with pytest.raises(NotJSON, match=r"t\.state\['prices'\]\['oil'\] is a set"):
        output(t)


def test_make_turn_and_outcome_go_together() -> None:
    t = make_turn(
        inbox=[("editor", "A dog.")],
        state={"told": 1},
        seed=5,
        generate=lambda request: request["prompt"] + " It barks.",
    )
    t.send(t.inbox[0].sender, t.generate("m", t.inbox[0].body).text)
    assert outcome(t) == {"state": {"told": 1}, "send": [{"to": "editor", "body": "A dog. It barks."}]}
    assert t.now().year == 2000
    assert t.inbox[0].round == t.round - 1


def test_a_plain_mail_says_that_its_body_is_text() -> None:
    message = Message("ann", "Hello there", 1)
    with pytest.raises(ValueError, match=r"message of ann is not JSON but the text 'Hello there': read it as \.body"):
        message.json()


def test_long_texts_are_short_where_they_are_shown() -> None:
    body = "word " * 100_000
    assert len(repr(Message("ann", body, 1))) < 200
    assert "500,000 characters" in repr(Message("ann", body, 1))
    assert repr(Message("ann", "Hi", 1)) == "Message(sender='ann', body='Hi', round=1)"
    assert len(repr(Answer(body, "end", 3, 4))) < 200
