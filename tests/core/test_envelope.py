"""The envelope against hostile text: whatever comes out of a sandbox ends as an outcome, never as an exception."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from turnwise.core.contents import Kept, Piece, handed_over
from turnwise.core.envelope import (
    NESTING_MAX,
    decode_needs,
    decode_output,
    encode_mail,
    error_reply,
    join_replies,
    text_bytes,
    within,
)
from turnwise.core.turn import Completed, Failed, FailureClass, Log, Needs, Record, Send, Spawn, TurnOutput
from turnwise.core.turn_input import TurnInput

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
members = st.sampled_from(["state", "send", "log", "record", "wake_in", "spawn", "stop", "finish", "error", "effects"])


def test_every_member_is_decoded() -> None:
    text = json.dumps(
        {
            "state": "s",
            "send": [{"to": "a", "body": "b"}],
            "log": [{"level": "warning", "text": "t"}, {"text": "u"}],
            "record": [{"name": "price", "value": 3.5}, {"name": "mood", "value": "good"}],
            "wake_in": 2,
            "spawn": [{"kind": "k", "name": "n", "args": {"b": 1, "a": 2}, "state": "x"}, {"kind": "k", "name": "m"}],
            "stop": ["z"],
            "finish": {"y": [1], "x": None},
        }
    )
    assert decode_output(text) == Completed(
        TurnOutput(
            state="s",
            send=(Send("a", "b"),),
            log=(Log("warning", "t"), Log("info", "u")),
            record=(Record("price", 3.5), Record("mood", "good")),
            wake_in=2,
            spawn=(Spawn("k", "n", '{"a":2,"b":1}', "x"), Spawn("k", "m")),
            stop=("z",),
            finish='{"y":[1],"x":null}',
        )
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"\xff", "byte 0 is not UTF-8"),
        (b"", "not JSON"),
        (b"[]", "expected a JSON object, found a list"),
        (b"{}", "lacks the member 'state'"),
        (b'{"state": 1}', "'state' must be text, found a number"),
        (b'{"state": "", "sends": []}', "unknown member 'sends'"),
        (b'{"state": "", "send": [{"to": "a"}]}', "send[0] lacks the member 'body'"),
        (b'{"state": "", "send": [{"to": "a", "body": "", "cc": 1}]}', "send[0] has the unknown member 'cc'"),
        (b'{"state": "", "record": [{"name": "x", "value": true}]}', "must be a number or text, found a boolean"),
        (b'{"state": "", "record": [{"name": "x", "value": NaN}]}', "NaN is no JSON number"),
        (b'{"state": "", "record": [{"name": "x", "value": 1e999}]}', "not finite"),
        (b'{"state": "", "record": [{"name": "x", "value": 9223372036854775808}]}', "64 bits"),
        (b'{"state": "", "finish": [1e999]}', "not finite"),
        (b'{"state": "", "finish": 1' + b"0" * 5000 + b"}", "a whole number of 5001 digits"),
        (b'{"state": "", "wake_in": 0}', "at least 1"),
        (b'{"state": "", "wake_in": 1.0}', "whole number"),
        (b'{"state": "", "log": [{"level": "fatal", "text": ""}]}', "must be one of"),
        (b'{"state": "", "spawn": [{"kind": "k", "name": "-"}]}', "spawn[0].name must be"),
        (b'{"state": "", "spawn": [{"kind": "k", "name": "outside"}]}', "spawn[0].name must be"),
        (b'{"state": "", "spawn": [{"kind": "k", "name": "a", "args": []}]}', "args must be an object"),
        (b'{"state": "\\ud800"}', "surrogate"),
        (b'{"error": 5}', "'error' must be text"),
        (b'{"state": "", "finish": ' + b"[" * 100 + b"]" * 100 + b"}", f"deeper than {NESTING_MAX}"),
        (b'{"state": "", "finish": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", f"deeper than {NESTING_MAX}"),
    ],
)
def test_what_is_wrong_with_an_output_is_said(text: bytes, said: str) -> None:
    outcome = decode_output(text)
    assert isinstance(outcome, Failed)
    assert outcome.failure.kind == FailureClass.OUTPUT
    assert said in outcome.failure.message


def test_keys_of_a_result_are_sorted_for_plans_of_version_1_only() -> None:
    text = '{"state": "", "finish": {"b": {"z": 1, "y": 2}, "a": [1.0, "\\u00e9"]}}'
    for outcome, finish in (
        (decode_output(text), '{"b":{"z":1,"y":2},"a":[1.0,"é"]}'),
        (decode_output(text, results_sorted=True), '{"a":[1.0,"é"],"b":{"y":2,"z":1}}'),
    ):
        assert outcome == Completed(TurnOutput("", finish=finish))


def test_brackets_inside_text_are_not_nesting() -> None:
    assert decode_output(json.dumps({"state": '["' * 500})) == Completed(TurnOutput('["' * 500))


def test_a_declared_error_is_a_failure_of_its_own_class() -> None:
    outcome = decode_output('{"error": "Traceback"}')
    assert isinstance(outcome, Failed)
    assert (outcome.failure.kind, outcome.failure.message) == (FailureClass.RAISED, "Traceback")


@settings(max_examples=300, deadline=None)
@given(st.binary() | json_values.map(json.dumps) | st.dictionaries(members, json_values).map(json.dumps))
@example('{"state": "", "spawn": null}')
@example('{"state": "", "stop": {}}')
@example('{"effects": []}')
@example('{"effects": [{"effect": "generate", "model": 3}]}')
def test_no_text_raises(text: bytes | str) -> None:
    assert isinstance(decode_output(text), Completed | Failed)
    assert isinstance(decode_needs(text), Needs | Failed)


@given(st.dictionaries(members, json_values))
def test_the_form_of_the_text_does_not_matter(value: dict[str, object]) -> None:
    loose = json.dumps(value, indent=2)
    tight = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    assert decode_output(loose) == decode_output(tight)
    assert decode_needs(loose) == decode_needs(tight)


@given(st.text(), st.text(), st.lists(st.tuples(st.text(), st.integers(0), st.text())), st.integers(0, 3))
def test_an_input_is_json_with_every_member(
    name: str, state: str, inbox: list[tuple[str, int, str]], backlog: int
) -> None:
    mail = tuple([encode_mail(*message) for message in inbox])
    given = TurnInput(name, "k", '{"a":1}', 3, 2, 5_000, "ab", state, mail, backlog)
    text = given.encode()
    assert json.loads(text) == {
        "abi": 1,
        "self": name,
        "kind": "k",
        "round": 3,
        "turn": 2,
        "now_us": 5_000,
        "seed": "ab",
        "args": {"a": 1},
        "state": state,
        "inbox": [{"from": sender, "round": round_, "body": body} for sender, round_, body in inbox],
    } | ({"backlog": backlog} if backlog else {})


@given(st.lists(st.text(), max_size=4), st.integers(0, 60))
@example(["", "", "", ""], 7)
def test_texts_are_measured_as_they_stand_in_an_input(texts: list[str], bytes_max: int) -> None:
    sizes = [len(json.dumps(text, ensure_ascii=False).encode()) for text in texts]
    assert [text_bytes(text) for text in texts] == sizes
    assert within(texts, bytes_max) == (sum(sizes) <= bytes_max)


def test_needs_keep_the_whole_request_in_canonical_form() -> None:
    needs = decode_needs('{"effects": [{"prompt": "p", "model": "m", "effect": "generate"}]}')
    assert isinstance(needs, Needs)
    assert needs.many
    assert needs.requests[0].body == '{"effect":"generate","model":"m","prompt":"p"}'
    assert (needs.requests[0].kind, needs.requests[0].model) == ("generate", "m")


def test_replies_are_joined_as_they_were_asked() -> None:
    error = error_reply("denied", "no")
    assert join_replies([error], many=False) == error
    assert json.loads(join_replies(['{"ok":1}', error], many=True))["results"][0] == {"ok": 1}


def test_replies_with_parts_of_contents_are_joined_around_them() -> None:
    given = handed_over(Piece(Kept("ab" * 32, 9, 1, 0, 0), 0, 9))
    assert join_replies([given], many=False) == given
    one, other = '{"ok":1}', '{"ok":2}'
    joined = ('{"results":[', one, ",", *given, ",", other, "]}")
    assert join_replies([one, given, other], many=True) == joined
    assert join_replies([given, one], many=True) == ('{"results":[', *given, ",", one, "]}")


def test_a_message_is_read_with_what_comes_with_it() -> None:
    start = b'{"from":"a","round":3,"body":"b"'
    assert encode_mail("a", 3, "b") == start + b"}"
    assert encode_mail("a", 3, "b", "h-1") == start + b',"attach":"h-1"}'


@pytest.mark.parametrize(
    ("output", "fits"),
    [
        ({"stop": ["x" * 200]}, True),
        ({"stop": ["x" * 201]}, False),
        ({"wake_in": 2**31 - 1}, True),
        ({"wake_in": 2**31}, False),
        ({"wake_in": 1}, True),
        ({"wake_in": None}, True),
        ({"record": [{"name": "n", "value": 2**63 - 1}]}, True),
        ({"record": [{"name": "n", "value": 2**63}]}, False),
        ({"record": [{"name": "n", "value": -(2**63)}]}, True),
        ({"record": [{"name": "n", "value": -(2**63) - 1}]}, False),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_an_output_says_is_kept_up_to_its_bounds(output: dict[str, Any], fits: bool) -> None:
    outcome = decode_output(json.dumps({"state": "", **output}))
    assert isinstance(outcome, Completed) is fits
    if isinstance(outcome, Completed):
        [(member, value)] = output.items()
        kept = getattr(outcome.output, member)
        expected = (Record(**value[0]),) if member == "record" else tuple(value) if member == "stop" else value
        assert kept == expected


@pytest.mark.parametrize(("levels", "fits"), [(63, True), (64, False)])
def test_an_envelope_has_64_levels_with_its_own(levels: int, fits: bool) -> None:
    finish = "[" * levels + "]" * levels
    assert isinstance(decode_output(f'{{"state": "", "finish": {finish}}}'), Completed) is fits


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"error": "no", "state": ""}', "unknown member 'state'"),
        ('{"state": "", "send": [["to", "body"]]}', "send[0] must be an object, found a list"),
        ('{"state": "", "send": 3}', "'send' must be a list, found a number"),
        ('{"state": "", "send": {"to": "a", "body": ""}}', "'send' must be a list, found an object"),
        ('{"state": "", "send": ["to"]}', "send[0] must be an object, found text"),
    ],
)
def test_an_output_of_another_form_says_what_is_wrong(text: str, said: str) -> None:
    outcome = decode_output(text)
    assert isinstance(outcome, Failed)
    assert outcome.failure.kind == FailureClass.OUTPUT
    assert said in outcome.failure.message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"effects": []}', "must be a list of at least one request"),
        ('{"effects": {"effect": "x"}}', "must be a list of at least one request"),
        ('{"effects": [{"effect": "x"}], "effect": "x"}', "unknown member 'effect'"),
        ('{"effects": [3]}', "effects[0] must be an object, found a number"),
        ('{"effects": [["effect"]]}', "effects[0] must be an object, found a list"),
        ('{"effect": "x", "model": 3}', "model must be text, found a number"),
        ('{"effect": "x", "model": "%s"}' % ("m" * 201), "longer than 200 characters"),
    ],
)
def test_a_request_of_another_form_says_what_is_wrong(text: str, said: str) -> None:
    outcome = decode_needs(text)
    assert isinstance(outcome, Failed)
    assert outcome.failure.kind == FailureClass.OUTPUT
    assert said in outcome.failure.message


MAIL = tuple([encode_mail("a", 1, "x" * size) for size in range(3)])


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 3))
def test_the_size_of_an_input_grows_as_its_text_does(args: int, state: int, mails: int) -> None:
    def made(args: int, state: int, mails: int) -> TurnInput:
        return TurnInput("a", "k", "1" * args, 1, 1, 1, "", "s" * state, MAIL[:1] + MAIL[:mails])

    least, given = made(0, 0, 0), made(args, state, mails)
    assert 0 < least.size_bytes <= len(least.encode())
    assert given.size_bytes - least.size_bytes == len(given.encode()) - len(least.encode())
    assert "backlog" not in json.loads(made(1, 0, 0).encode())


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"to": "b", "body": 1}, "send[1].body must be text"),
        ({"to": 1, "body": "x"}, "send[1].to must be text"),
        ({"to": "b" * 201, "body": "x"}, "send[1].to is longer than 200 characters"),
        ({"to": "b"}, "send[1] lacks the member 'body'"),
        ({"to": "b", "text": "x"}, "send[1] has the unknown member 'text'"),
        ({"to": "b", "body": "x", "attach": 1}, "send[1].attach must be text"),
        ("b", "send[1] must be an object"),
    ],
)
def test_one_message_among_others_that_is_none_is_named(item: object, said: str) -> None:
    plain = {"to": "a", "body": "x"}
    outcome = decode_output(json.dumps({"state": "", "send": [plain, item, plain]}))
    assert isinstance(outcome, Failed)
    assert said in outcome.failure.message


def test_messages_are_the_same_with_and_without_the_members_that_few_have() -> None:
    plain, attached = {"to": "a", "body": "x"}, {"to": "b", "body": "y", "attach": "h"}
    outcome = decode_output(json.dumps({"state": "", "send": [plain, attached, plain]}))
    assert outcome == Completed(TurnOutput("", (Send("a", "x"), Send("b", "y", "h"), Send("a", "x"))))
    outcome = decode_output(json.dumps({"state": "", "send": [plain, plain], "wake_in": 2}))
    assert outcome == Completed(TurnOutput("", (Send("a", "x"), Send("a", "x")), wake_in=2))


@pytest.mark.parametrize("wake_in", [0, -1, 2**31, True, 1.0, "1"])
def test_an_alarm_that_is_none_fails_the_turn_alone_and_among_others(wake_in: object) -> None:
    for output in ({"state": "", "wake_in": wake_in}, {"state": "", "wake_in": wake_in, "log": []}):
        outcome = decode_output(json.dumps(output))
        assert isinstance(outcome, Failed)
        assert "'wake_in' must be" in outcome.failure.message


@pytest.mark.parametrize(("to", "body"), [(["a"], "b"), ("a", ["b"]), ("", None), (7, "b"), (None, None)])
def test_names_and_bodies_of_messages_are_texts(to: object, body: object) -> None:
    plain = {"to": "a", "body": "b"}
    for sent in ([{"to": to, "body": body}], [plain, {"to": to, "body": body}]):
        failed = decode_output(json.dumps({"state": "", "send": sent}))
        assert isinstance(failed, Failed)
        assert f"send[{len(sent) - 1}]" in failed.failure.message
