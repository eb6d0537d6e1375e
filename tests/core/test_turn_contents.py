"""Contents of one turn: what is kept and given of them, and what is refused."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest

from tests.core.worlds import kind
from turnwise.core.contents import Kept, Piece, handle_of
from turnwise.core.effects_budget import EffectsBudget
from turnwise.core.events import Keep
from turnwise.core.plan import Limits
from turnwise.core.records import AgentRecord
from turnwise.core.state import AgentState
from turnwise.core.turn import EffectRequest
from turnwise.core.turn_contents import TurnContents

HEAD = b"h" * 32
STREAM = b"s" * 32
GIVEN = Kept(sha256(b"given").hexdigest(), 100, 2, 0, 1)


def contents(put_bytes_max: int = 4_096) -> TurnContents:
    record = AgentRecord(3, "ann", "writer", "{}", "", 0, None, ())
    agent = AgentState(record, kind("writer", limits=Limits(put_bytes_max=put_bytes_max)), ())
    return TurnContents(agent, 7, HEAD, {"given": GIVEN})


def error(reply: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(str(reply))["error"]
    return found


def get(of: TurnContents, index: int = 4, budget: EffectsBudget | None = None, **members: Any) -> str | None:
    return of.get(json.dumps({"effect": "get", "handle": "given", **members}), index, budget)


def test_a_content_that_is_put_can_be_had_and_is_handed_on_to_be_kept() -> None:
    of = contents()
    assert not of
    reply, keep = of.put(b"hello", 5, STREAM)
    digest = sha256(b"hello").hexdigest()
    handle = handle_of(HEAD, STREAM, digest, 5)
    assert json.loads(reply) == {"ok": {"handle": handle}}
    assert keep == Keep(Kept(digest, 5, 7, 3, 5), b"hello")
    assert of
    assert of.knows(handle)
    assert not of.knows(handle[:-1])
    assert of.inputs_of(EffectRequest("infer", "m", json.dumps({"content": handle}))) == ((handle, keep.kept),)


@pytest.mark.parametrize(("sizes", "fits"), [((2_048, 2_048), True), ((2_048, 2_049), False), ((3_072, 1), True)])
def test_what_a_turn_puts_is_bounded_and_small_contents_count_more(sizes: tuple[int, int], fits: bool) -> None:
    of = contents()
    assert of.put(b"a" * sizes[0], 0, STREAM)[1] is not None
    reply, keep = of.put(b"b" * sizes[1], 1, STREAM)
    assert (keep is not None) is fits
    assert of.put_bytes == (4_096 if fits else sizes[0])
    if not fits:
        assert error(reply) == {
            "kind": "refused",
            "message": "contents that this turn puts come to more than 4,096 bytes (`put_mib` of its kind)",
        }


@pytest.mark.parametrize(
    ("members", "start", "length"),
    [
        ({}, 0, 100),
        ({"start": 40}, 40, 60),
        ({"start": 40, "length": 60}, 40, 60),
        ({"start": 40, "length": 61}, 40, 60),
        ({"start": 40, "length": 59}, 40, 59),
        ({"length": 0}, 0, 0),
        ({"start": 100}, 100, 0),
        ({"start": 101, "length": 5}, 100, 0),
    ],
)
def test_a_part_that_is_read_ends_with_the_content(members: dict[str, int], start: int, length: int) -> None:
    of = contents()
    reply = get(of, **members)
    assert json.loads(reply or "") == {"ok": {"bytes": length, "sha256": GIVEN.sha256, "start": start}}
    assert of
    assert of.handed_over(4, reply or "") == ('{"ok":', Piece(GIVEN, start, length), "}")
    assert of.handed_over(3, "another reply") == "another reply"


def test_a_part_counts_among_what_the_effects_come_to() -> None:
    of, budget = contents(), EffectsBudget(150)
    assert get(of, budget=budget) is not None
    assert budget.spent == 100
    assert get(of, 5, budget, length=51) is None
    assert of.handed_over(5, "reply") == "reply"
    assert get(of, 5, budget, length=50) is not None


def test_who_was_not_given_a_content_gets_none() -> None:
    of = contents()
    assert error(get(of, handle="another")) == {
        "kind": "denied",
        "message": "ann was given no content with this handle",
    }
    assert error(get(of, start=-1))["kind"] == "refused"
    assert not of
    assert error(of.cannot_wait())["kind"] == "refused"


@pytest.mark.parametrize(
    ("body", "all_"),
    [
        ({}, True),
        ({"a": {"content": "given"}}, True),
        ({"a": {"content": "given"}, "b": {"content": "another"}}, False),
        ({"a": {"content": "another"}}, False),
    ],
)
def test_a_model_is_given_contents_that_are_all_there(body: dict[str, Any], all_: bool) -> None:
    of = contents()
    for kind_ in ("infer", "embed", "generate"):
        request = EffectRequest(kind_, "m", json.dumps(body))
        assert of.knows_all(request) is all_
        found = (("given", GIVEN),) if "a" in body and body["a"]["content"] == "given" else ()
        assert of.inputs_of(request) == (found if kind_ != "generate" else ())
