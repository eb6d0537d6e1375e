"""The head's form is a promise: these values are stored in journals, and may change with a new version only."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.worlds import WITHOUT_SUMS, kind, plan
from turnwise.core import head
from turnwise.core.plan import KindGrants
from turnwise.core.plan_json import plan_to_json
from turnwise.core.records import (
    AgentRecord,
    ChangeRecord,
    EffectRecord,
    EndRecord,
    MessageRecord,
    ParkRecord,
    TurnRecord,
    WaveRecord,
)
from turnwise.core.turn import Failure, FailureClass, Log, Record, Send, TurnOutput
from turnwise.core.withheld import Withheld, WithheldTokens
from turnwise.errors import InvariantError

RESULT = '{"a":1}'

MESSAGE = MessageRecord(4, 2, None, "a", "hello", (0, 2))
QUIET = TurnRecord(0, 3, (4,), TurnOutput("state"), None, (), "", 99, 1)
FULL = TurnRecord(
    1,
    1,
    (),
    TurnOutput(
        "é",
        log=(Log("info", "line"),),
        record=(Record("price", 2.5), Record("mood", "calm")),
        wake_in=2,
        stop=("x",),
        finish=RESULT,
    ),
    None,
    (EffectRecord(0, "generate", "m", '{"q":1}', '{"ok":2}'),),
    "printed\n",
    7,
    2,
)
FAILED = TurnRecord(2, 5, (4,), None, Failure(FailureClass.FUEL, "words that may change"), (), "lost", 5, 1)
CHILD = AgentRecord(3, "child", "k", "{}", "", 3, 1, ("k", "p"))


def withheld(text: str) -> Withheld:
    return Withheld(hexed(text))


def hexed(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def test_a_round_is_hashed_as_documented() -> None:
    lines = [
        "round 3",
        f'I[4,2,null,"a","{hexed("hello")}",[0,2]]',
        'C["drop",7,null]',
        f'C["state",2,"{hexed("other")}"]',
        f'T[0,3,[4],"{hexed("state")}"]',
        f'T[1,1,[],"{hexed("é")}",[[0,"generate","m","{hexed(chr(123) + chr(34) + "q" + chr(34) + ":1}")}",'
        f'"{hexed(chr(123) + chr(34) + "ok" + chr(34) + ":2}")}"]],"{hexed(chr(112) + "rinted" + chr(10))}",'
        f'[["info","{hexed("line")}"]],[["price",2.5],["mood",null,"{hexed("calm")}"]],2,["x"],"{hexed(RESULT)}"]',
        'F[2,5,[4],"fuel",[]]',
        f'M[4,2,null,"a","{hexed("hello")}",[0,2]]',
        f'A[3,"child","k","{hexed("{}")}","{hexed("")}",3,1,["k","p"]]',
        "X[2]",
    ]
    facts = ("\n".join(lines) + "\n").encode()
    changes = ChangeRecord("drop", 7), ChangeRecord("state", 2, "other")
    assert head.facts(3, (MESSAGE,), (QUIET, FULL, FAILED), (MESSAGE,), (CHILD,), (2,), changes=changes) == facts
    outcome = head.outcome(facts)
    assert outcome == sha256(facts).digest()
    assert head.advance(b"h" * 32, facts) == head.linked(b"h" * 32, outcome) == sha256(b"h" * 32 + outcome).digest()


def test_a_change_of_the_plan_has_what_agents_are_told_by_digest() -> None:
    """So that it can be taken out of a journal: the line is the same before and after."""
    told = '{"kinds":{"a":{"args":"{}","code":"c","system":"be brief"}},"seed":8}'
    lines = {
        head.facts(1, (), (), (), (), (), changes=(ChangeRecord("plan", None, text),))
        for text in (told, told.replace('"be brief"', f'{{"redacted":"{hexed("be brief")}"}}'))
    }
    digests = f'{{"kinds":{{"a":{{"args":"{hexed("{}")}","code":"c","system":"{hexed("be brief")}"}}}},"seed":8}}'
    assert lines == {f'round 1\nC["plan",null,"{hexed(digests)}"]\n'.encode()}


def test_by_the_first_rule_logs_records_and_results_stand_in_full() -> None:
    line = head.facts(3, (), (FULL,), (), (), (), 1).decode().splitlines()[1]
    assert line.endswith('[["info","line"]],[["price",2.5],["mood","calm"]],2,["x"],"{\\"a\\":1}"]')


def test_a_text_that_was_withheld_has_the_digest_that_it_had() -> None:
    output = FULL.output
    assert output is not None
    without = replace(
        FULL,
        output=replace(
            output,
            state=withheld(output.state),
            log=(Log("info", withheld("line")),),
            record=(Record("price", 2.5), Record("mood", withheld("calm"))),
            finish=withheld(RESULT),
        ),
        effects=(EffectRecord(0, "generate", "m", withheld('{"q":1}'), withheld('{"ok":2}')),),
        stdout=withheld("printed\n"),
    )
    message = replace(MESSAGE, body=withheld("hello"))
    child = replace(CHILD, args=withheld("{}"), state=withheld(""))
    facts = head.facts(3, (MESSAGE,), (QUIET, FULL), (), (CHILD,), ())
    assert head.facts(3, (message,), (QUIET, without), (), (child,), ()) == facts
    end = EndRecord("finished", 7, RESULT)
    assert head.ended(b"h" * 32, replace(end, result=withheld(RESULT))) == head.ended(b"h" * 32, end)


def test_by_the_first_rule_the_head_holds_the_facts_and_no_end() -> None:
    assert head.advance(b"h" * 32, b"round 3\n", 1) == sha256(b"h" * 32 + b"round 3\n").digest()
    assert head.outcome(b"round 3\n", 1) is None
    assert head.ended(b"h" * 32, EndRecord("quiet", 3, None), 1) is None


def test_an_end_is_hashed_as_documented() -> None:
    end = EndRecord("finished", 7, '{"a":1}')
    line = b'E["finished",7,"' + hexed('{"a":1}').encode() + b'",null]\n'
    assert head.ended(b"h" * 32, end) == sha256(b"h" * 32 + line).digest()
    changes: list[dict[str, object]] = [{"reason": "quiet"}, {"round": 6}, {"result": None}, {"message": "why"}]
    heads = {head.ended(b"h" * 32, replace(end, **change)) for change in changes}  # type: ignore[arg-type]
    assert len(heads | {head.ended(b"h" * 32, end)}) == 5


def test_the_beginning_is_the_plan() -> None:
    world = plan([kind("a")])
    for rule, plan_text in ((1, plan_to_json(world)), (2, plan_to_json(world, head.text_digest))):
        text = f"turnwise head {rule}\n{plan_text}"
        assert head.genesis(world, rule) == sha256(text.encode()).digest()
    assert head.genesis(world) == head.genesis(world, head.RULE)
    older = plan([kind("a", limits=WITHOUT_SUMS, grants=KindGrants(finish=True))], agents_max=None)
    assert head.genesis(older, 1).hex() == "e48cc761bb0d36f2d8d583444ceb1a148d79405130524329fed9555b78df8641"


def test_fuel_is_in_the_execution_digest_and_not_in_the_head() -> None:
    start = head.execution_genesis("{}", 1)
    assert start == sha256(b"turnwise execution 1\n{}").digest()
    expected = sha256(start + b"round 3\n0 99 1\n1 7 2\n2 5 1\n").digest()
    assert head.execution_advance(start, 3, (QUIET, FULL, FAILED), rule=1) == expected


def test_what_failed_turns_said_and_printed_is_in_the_execution_digest() -> None:
    start = head.execution_genesis("{}")
    assert start == sha256(b"turnwise execution 2\n{}").digest()
    said = f"2 5 1 {hexed('words that may change')} {hexed('lost')}".encode()
    expected = sha256(start + b"round 3\n0 99 1\n1 7 2\n" + said + b"\n").digest()
    assert head.execution_advance(start, 3, (QUIET, FULL, FAILED)) == expected


def test_tokens_are_in_the_execution_digest_where_they_are_told() -> None:
    told = replace(FULL, effects=(replace(FULL.effects[0], tokens=(5, 2)),))
    for rule in (1, 2):
        facts = [head.facts(3, (), (turn,), (), (), ()) for turn in (FULL, told)]
        assert facts[0] == facts[1]
        start = head.execution_genesis("{}", rule)
        line = f'\nG[0,"{hexed("[5,2]")}"]' if rule > 1 else ""
        expected = sha256(start + f"round 3\n1 7 2{line}\n".encode()).digest()
        assert head.execution_advance(start, 3, (told,), rule=rule) == expected


def test_tokens_that_were_withheld_have_the_digest_that_they_had() -> None:
    start = head.execution_genesis("{}")
    effect = EffectRecord(0, "generate", "m", "{}", "{}", (5, 6))
    whole = replace(FULL, effects=(effect,))
    without = replace(FULL, effects=(replace(effect, tokens=WithheldTokens(hexed("[5,6]"))),))
    assert head.execution_advance(start, 3, (without,)) == head.execution_advance(start, 3, (whole,))


def test_waves_are_in_the_execution_digest_where_there_are_any() -> None:
    start = head.execution_genesis("{}")
    wave = WaveRecord(1, "m", ((0, 0), (3, 1)), '{"threads":1}')
    without = head.execution_advance(start, 3, (QUIET,))
    assert head.execution_advance(start, 3, (QUIET,), ()) == without
    digests = {without}
    changes: list[dict[str, object]] = [{}, {"wave": 2}, {"model": "n"}, {"requests": ((0, 0),)}, {"plan": "{}"}]
    for change in changes:
        digests.add(head.execution_advance(start, 3, (QUIET,), (replace(wave, **change),)))  # type: ignore[arg-type]
    assert len(digests) == 6


def test_a_continued_run_has_another_execution_digest() -> None:
    assert head.execution_continued(b"e" * 32, "{}") == sha256(b"e" * 32 + b"continued\n{}").digest()


def test_long_texts_are_digested_like_short_ones() -> None:
    for text in ("", "x" * 512, "x" * 513, "é" * 1000):
        assert head.text_digest(text) == hexed(text)


def line_of(turn: TurnRecord) -> str:
    return head.facts(3, (), (turn,), (), (), ()).decode().splitlines()[1]


@pytest.mark.parametrize(
    "change",
    [
        {"stdout": "printed"},
        {"effects": (EffectRecord(0, "generate", "m", "{}", "{}"),)},
        {"log": (Log("info", "line"),)},
        {"record": (Record("price", 2),)},
        {"wake_in": 1},
        {"stop": ("x",)},
        {"finish": "null"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_each_thing_that_a_turn_did_is_in_its_line(change: dict[str, Any]) -> None:
    assert QUIET.output is not None
    of_turn = {name: value for name, value in change.items() if name in ("stdout", "effects")}
    of_output = {name: value for name, value in change.items() if name not in of_turn}
    assert line_of(replace(QUIET, output=replace(QUIET.output, **of_output), **of_turn)) != line_of(QUIET)


def test_texts_stand_in_the_lines_as_they_are_and_what_is_no_number_does_not() -> None:
    facts = head.facts(3, (replace(MESSAGE, to="é"),), (), (), (), ())
    assert facts.decode().splitlines()[1] == f'I[4,2,null,"é","{hexed("hello")}",[0,2]]'
    assert FULL.output is not None
    with pytest.raises(ValueError, match="Out of range float"):
        line_of(replace(FULL, output=replace(FULL.output, record=(Record("price", math.nan),))))


def test_a_turn_without_an_outcome_has_no_line() -> None:
    with pytest.raises(InvariantError):
        line_of(replace(QUIET, output=None))


@pytest.mark.parametrize("size", [0, 511, 512, 513, 5000])
def test_the_digest_of_a_text_is_that_of_its_bytes(size: int) -> None:
    assert head.text_digest("é" * size) == head.text_digest("é" * size) == hexed("é" * size)


@given(
    place=st.integers(0, 10**6),
    inbox=st.lists(st.integers(0, 10**9)),
    state=st.text(),
    wake_in=st.none() | st.integers(1, 2**31 - 1),
    send=st.booleans(),
    rule=st.sampled_from([1, 2]),
)
def test_the_line_of_a_plain_turn_is_the_encoded_one(
    place: int, inbox: list[int], state: str, wake_in: int | None, send: bool, rule: int
) -> None:
    """Lines of turns that do little are put together without the encoder."""
    output = TurnOutput(state, send=(Send("a", "b"),) if send else (), wake_in=wake_in)
    turn = TurnRecord(place, 3, tuple(inbox), output, None, (), "", 7, 1)
    line = head.facts(1, (), [turn], (), (), (), rule).decode().split("\n")[1]
    digest = head.text_digest(state)
    members: list[object] = [place, 3, inbox, digest]
    if wake_in is not None:
        members += [[], head.text_digest(""), [], [], wake_in, [], None]
    assert line == "T" + json.dumps(members, separators=(",", ":"))


def test_a_handle_that_comes_with_a_message_is_in_its_line_by_digest() -> None:
    facts = head.facts(3, (replace(MESSAGE, attach="h-1"),), (), (), (), ())
    assert facts.decode().splitlines()[1] == f'I[4,2,null,"a","{hexed("hello")}",[0,2],"{hexed("h-1")}"]'


def test_what_waiting_turns_have_used_is_in_the_execution_digest() -> None:
    effect = EffectRecord(0, "generate", "m", "{}", "{}", (5, 6))
    park = ParkRecord(4, 1, (), 0, (effect,), (), (), 0, 70, 2)
    start = head.execution_genesis("{}")
    lines = f'round 3\n0 99 1\nP4 70 2\nG[0,"{hexed("[5,6]")}"]\n'
    assert head.execution_advance(start, 3, (QUIET,), parks=(park,)) == sha256(start + lines.encode()).digest()
