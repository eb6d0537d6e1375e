"""Many small things come to no more than is allowed, however they are added up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.core.worlds import WITHOUT_SUMS, kind, plan, sends, still
from turnwise.core.canonical import canonical
from turnwise.core.effects_budget import EffectsBudget, is_too_large
from turnwise.core.envelope import decode_needs
from turnwise.core.events import Advance, Commit, EffectAnswered, TurnEnded
from turnwise.core.inbox import Letter, fitting
from turnwise.core.machine import Machine
from turnwise.core.plan import KindGrants, Limits, Plan
from turnwise.core.turn import Completed, FailureClass, TurnOutput
from turnwise.sim import Effect, Simulation, simulate


def failure(run: Simulation, place: int = 0, round_: int = 0) -> tuple[FailureClass, str] | None:
    found = {turn.place: turn for turn in run.rounds[round_].turns}[place].failure
    return None if found is None else (found.kind, found.message)


def returns(**output: Any) -> Any:
    return lambda turn, effect: {"state": "", **output}


# -- what a turn returns -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "fits"), [(7, True), (8, False)])
@pytest.mark.parametrize("beside", [{}, {"send": [{"to": "a", "body": ""}]}], ids=["alone", "with a message"])
def test_args_and_state_are_bounded_together(size: int, fits: bool, beside: dict[str, Any]) -> None:
    limits = Limits(state_bytes_max=(2 + 4) + (2 + 7))
    world = plan([kind("a", start=True, args="{  }", limits=limits, grants=sends("a"))])
    run = simulate(world, {"a": returns(state="x" * size, **beside)}, rounds=1)
    assert (failure(run) is None) is fits
    if not fits:
        expected = (
            FailureClass.OUTPUT_SIZE,
            "args and state come to more than 15 bytes as JSON (`state_mib` of its kind)",
        )
        assert failure(run) == expected


@pytest.mark.parametrize(
    ("state", "fits"), [("\x01" * 10, True), ("\x01" * 11, False), ("é" * 30, True), ("é" * 31, False)]
)
def test_a_state_is_bounded_by_its_bytes_as_json(state: str, fits: bool) -> None:
    world = plan([kind("a", start=True, limits=Limits(state_bytes_max=(2 + 2) + (2 + 60)))])
    assert (failure(simulate(world, {"a": returns(state=state)}, rounds=1)) is None) is fits


@pytest.mark.parametrize(("bodies", "fits"), [(["é"] * 4, True), (["é"] * 4 + [""], False), (["\x01" * 3], False)])
def test_what_a_turn_sends_is_bounded(bodies: list[str], fits: bool) -> None:
    world = plan([kind("a", start=True, grants=sends("*"), limits=Limits(send_bytes_max=16))])
    run = simulate(world, {"a": returns(send=[{"to": "a", "body": body} for body in bodies])}, rounds=1)
    expected = (FailureClass.OUTPUT_SIZE, "the turn sent more than 16 bytes, bodies as JSON (`send_mib` of its kind)")
    assert failure(run) == (None if fits else expected)


@pytest.mark.parametrize(
    ("to", "fits"), [(["all"], True), (["all", "b-1"], True), (["all", "all"], False), (["all", "b-1", "b-2"], False)]
)
@pytest.mark.parametrize("nobody", [0, 1])
def test_recipients_are_bounded(to: list[str], nobody: int, fits: bool) -> None:
    limits = Limits(deliveries_max=4 + nobody)
    kinds = [kind("a", start=True, grants=sends("*"), groups=("all",), limits=limits), kind("b", groups=("all",))]
    world = plan(kinds, ["a:a", "b-1:b", "b-2:b", "b-3:b"])
    send = [{"to": name, "body": ""} for name in [*to, *["nobody"] * nobody]]
    run = simulate(world, {"a": returns(send=send), "b": still}, rounds=1)
    assert (failure(run) is None) is fits
    if not fits:
        message = f"the turn's messages have more than {4 + nobody} recipients (`deliveries_max` of its kind)"
        assert failure(run) == (FailureClass.OUTPUT_SIZE, message)


@pytest.mark.parametrize(
    ("spawn", "fits"),
    [
        ({"args": {"a": 1}, "state": "xx"}, True),
        ({"args": {"a": 1}, "state": "xxx"}, False),
        ({"args": {"ab": 1}, "state": "xx"}, False),
        ({"args": {"a": 1}}, False),
    ],
)
def test_a_child_is_bounded_like_any_agent(spawn: dict[str, Any], fits: bool) -> None:
    limits = Limits(state_bytes_max=(2 + 2) + (2 + 9) + (2 + 2))
    kinds = [kind("a", start=True, grants=KindGrants(spawn=("c",))), kind("c", state="own", limits=limits)]
    world = plan(kinds, ["a:a"])
    run = simulate(world, {"a": returns(spawn=[{"kind": "c", "name": "c", **spawn}])}, rounds=1)
    assert (failure(run) is None) is fits
    if not fits:
        found = failure(run)
        assert found is not None
        assert found[0] == FailureClass.OUTPUT_SIZE
        assert "of 'c' come to more than 19 bytes as JSON (`state_mib` of the kind 'c')" in found[1]


def test_agents_are_bounded_in_order_of_place() -> None:
    def spawns(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        children = [{"kind": "c", "name": f"{turn['self']}-{number}"} for number in (1, 2)]
        return {"state": "", "spawn": children}

    kinds = [kind("a", start=True, grants=KindGrants(spawn=("c",))), kind("c")]
    world = plan(kinds, ["a:a", "b:a", "c:a"], agents_max=7)
    run = simulate(world, {"a": spawns, "c": still}, rounds=1)
    assert [agent.name for agent in run.rounds[0].spawned] == ["a-1", "a-2", "b-1", "b-2"]
    assert failure(run, 2) == (FailureClass.OUTPUT_SIZE, "there cannot be more than 7 agents (world.agents_max)")
    assert failure(simulate(replace(world, agents_max=9), {"a": spawns, "c": still}, rounds=1), 2) is None


# -- what a turn reads -------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 5), max_size=8), st.integers(0, 20))
@example([3, 2], 7)
@example([3, 2], 6)
@example([5, 0], 0)
def test_as_many_letters_fit_as_go_in_and_at_least_one(sizes: list[int], bytes_max: int) -> None:
    letters = [Letter(seq, b"x" * size) for seq, size in enumerate(sizes)]
    most = max((n for n in range(len(sizes) + 1) if sum(sizes[:n]) + n <= bytes_max), default=0)
    assert fitting(letters, bytes_max) == max(most, min(1, len(letters)))
    assert fitting(letters, None) == len(letters)


def reads(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
    read = [f"{message['round']}{message['body']}" for message in turn["inbox"]]
    return {"state": turn["state"] + f"[{turn['round']}:{','.join(read)}|{turn.get('backlog', 0)}]"}


def crowd(limits: Limits, schedule: str = "rounds", **options: Any) -> Plan:
    kinds = [kind("s", start=True, grants=sends("hub")), kind("hub", limits=limits)]
    return plan(kinds, [*(f"s{n}:s" for n in range(5)), "hub:hub"], schedule=schedule, **options)


def speaks(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
    return {"state": "", "send": [{"to": "hub", "body": turn["self"]}], "wake_in": 2}


SIZE = len('{"from":"s0","round":1,"body":"s0"},')


def test_mail_that_does_not_fit_is_read_in_later_rounds_in_order() -> None:
    run = simulate(crowd(Limits(inbox_bytes_max=2 * SIZE)), {"s": speaks, "hub": reads}, rounds=4)
    assert run.machine.world.by_name["hub"].state == (
        "[2:1s0,1s1|3][3:1s2,1s3|1][4:1s4,3s0|4]"  # who waits is behind no one who came later
    )
    assert [[turn.inbox for turn in round_.turns if turn.place == 5] for round_ in run.rounds] == [
        [],
        [(0, 1)],
        [(2, 3)],
        [(4, 5)],
    ]


def test_an_agent_without_new_mail_moves_until_it_has_read_all() -> None:
    def once(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        return {"state": "", "send": [{"to": "hub", "body": turn["self"]}]}

    run = simulate(crowd(Limits(inbox_bytes_max=1)), {"s": once, "hub": reads})
    assert run.machine.world.by_name["hub"].state == "[2:1s0|4][3:1s1|3][4:1s2|2][5:1s3|1][6:1s4|0]"
    assert run.end is not None
    assert run.end.reason == "quiet"


def test_a_sequential_world_keeps_its_order_with_a_backlog() -> None:
    one = simulate(crowd(Limits(inbox_bytes_max=2 * SIZE), "sequential"), {"s": speaks, "hub": reads}, rounds=12)
    seqs = [seq for round_ in one.rounds for turn in round_.turns for seq in turn.inbox]
    assert seqs == sorted(seqs)
    assert max(len(turn.inbox) for round_ in one.rounds for turn in round_.turns) == 2


@pytest.mark.parametrize("schedule", ["rounds", "sequential"])
def test_a_world_with_a_backlog_goes_on_from_any_round_as_if_it_had_never_stopped(schedule: str) -> None:
    world = crowd(Limits(inbox_bytes_max=2 * SIZE), schedule, rounds_max=9)
    whole = simulate(world, {"s": speaks, "hub": reads})
    for done in range(len(whole.rounds)):
        machine = Machine(world)
        machine.restore(whole.rounds[:done])
        assert simulate(world, {"s": speaks, "hub": reads}, machine=machine).head == whole.head


def test_letters_to_many_exist_once() -> None:
    kinds = [kind("a", start=True, grants=sends("all")), kind("b", groups=("all",))]
    world = plan(kinds, ["a:a", *(f"b{n}:b" for n in range(20))])
    run = simulate(world, {"a": returns(send=[{"to": "all", "body": "x" * 1000}]), "b": still}, rounds=1)
    agents = run.machine.world.agents[1:]
    assert {id(agent.inbox[0]) for agent in agents} == {id(agents[0].inbox[0])}


# -- what a turn asks --------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 4), max_size=8), st.integers(0, 12), st.randoms(use_true_random=False))
def test_which_replies_are_refused_does_not_depend_on_when_they_come(
    sizes: list[int], bytes_max: int, chance: Any
) -> None:
    budget = EffectsBudget(bytes_max)
    arrivals = list(enumerate(sizes))
    chance.shuffle(arrivals)
    refused: list[int] = []
    kept: dict[int, int] = {}
    for index, size in arrivals:
        kept[index] = size
        for gone in budget.reply(index, size):
            del kept[gone]
            refused.append(gone)
        assert sum(kept.values()) <= bytes_max  # what is held meanwhile
    assert sorted(refused) == [index for index in range(len(sizes)) if sum(sizes[: index + 1]) > bytes_max]


def asks(calls: Sequence[Sequence[int]]) -> Any:
    """Asks for replies of these sizes, one call after the other, and keeps what it got."""

    def behave(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        got = []
        for sizes in calls:
            requests = [{"effect": "generate", "model": "m", "size": size} for size in sizes]
            got += [
                len(reply["ok"]) if "ok" in reply else reply["error"]["kind"]
                for reply in effect({"effects": requests})["results"]
            ]
        return {"state": json.dumps(got)}

    return behave


def answer(request: Any, stream: bytes) -> dict[str, Any]:
    return {"ok": "x" * json.loads(request.body)["size"]}


REQUEST = len('{"effect":"generate","model":"m","size":10}')
REPLY = len('{"ok":""}')


@pytest.mark.parametrize("order", [None, 1, 2, 3])
def test_replies_beyond_the_bound_are_refused_in_their_order(order: int | None) -> None:
    room = 4 * REQUEST + 2 * (REPLY + 10)
    world = plan([kind("a", start=True, grants=KindGrants(generate=("m",)), limits=Limits(effects_bytes_max=room))])
    run = simulate(world, {"a": asks([[10, 10, 99, 10]])}, answer=answer, order=order)
    assert json.loads(run.machine.world.agents[0].state) == [10, 10, "refused", "refused"]
    effects = run.rounds[0].turns[0].effects
    assert "(`effects_mib` of its kind)" in effects[2].reply
    assert [is_too_large(effect.reply) for effect in effects] == [False, False, True, True]
    told = effects[2].reply
    assert is_too_large(canonical({"ok": json.loads(told)["error"]})) is False  # as a model may say it
    assert is_too_large(told.replace("effects_mib", "fuel")) is False
    assert sum(len(effect.reply) for effect in effects[:2]) + 4 * REQUEST == room


def test_tokens_are_recorded_with_the_replies_that_are_kept() -> None:
    room = 3 * REQUEST + 2 * (REPLY + 10)
    world = plan([kind("a", start=True, grants=KindGrants(generate=("m",)), limits=Limits(effects_bytes_max=room))])
    machine = Machine(world)
    machine.step(Advance())
    requests = [{"effect": "generate", "model": "m", "size": 10}] * 3
    machine.step(TurnEnded(0, decode_needs(canonical({"effects": requests})), 1))
    for index, tokens in ((2, (5, 6)), (0, (1, 2)), (1, None)):
        machine.step(EffectAnswered(0, index, canonical({"ok": "x" * 10}), tokens))
    (commit,) = machine.step(TurnEnded(0, Completed(TurnOutput("")), 1))
    assert isinstance(commit, Commit)
    effects = commit.record.turns[0].effects
    assert [effect.tokens for effect in effects] == [(1, 2), None, None]
    assert "(`effects_mib` of its kind)" in effects[2].reply


def test_calls_share_the_bound_and_a_request_that_is_refused_leaves_its_hash() -> None:
    room = 2 * REQUEST + REPLY + 10 + REPLY + 10 - 1
    world = plan([kind("a", start=True, grants=KindGrants(generate=("m",)), limits=Limits(effects_bytes_max=room))])
    run = simulate(world, {"a": asks([[10], [10], [10]])}, answer=answer)
    assert json.loads(run.machine.world.agents[0].state) == [10, "refused", "refused"]
    third = run.rounds[0].turns[0].effects[2]
    assert json.loads(third.request) == {
        "effect": "generate",
        "model": "m",
        "bytes": REQUEST,
        "sha256": sha256(b'{"effect":"generate","model":"m","size":10}').hexdigest(),
    }


def test_a_reply_that_was_refused_refuses_none_of_a_later_call() -> None:
    room = 3 * REQUEST + 2 * (REPLY + 10)
    world = plan([kind("a", start=True, grants=KindGrants(generate=("m",)), limits=Limits(effects_bytes_max=room))])
    run = simulate(world, {"a": asks([[10, 99], [10]])}, answer=answer)
    assert json.loads(run.machine.world.agents[0].state) == [10, "refused", 10]


# -- plans of version 1 ------------------------------------------------------------------------------------------


def test_plans_of_version_1_have_none_of_these_bounds() -> None:
    kinds = [
        kind(
            "a",
            start=True,
            grants=KindGrants(send=("hub",), generate=("m",), spawn=("hub",), finish=True),
            limits=WITHOUT_SUMS,
        ),
        kind("hub", limits=WITHOUT_SUMS, grants=KindGrants(finish=True)),
    ]
    world = plan(kinds, agents_max=None)
    body = "x" * (9 << 20)

    def much(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        children = [{"kind": "hub", "name": "child", "state": body}]
        return {"state": body, "send": [{"to": "hub", "body": body}] * 2, "spawn": children}

    run = simulate(world, {"a": much, "hub": reads})
    assert not any(turn.failure for round_ in run.rounds for turn in round_.turns)
    assert [len(turn.inbox) for turn in run.rounds[1].turns] == [2]


def test_what_waits_is_shown_while_the_round_is_played() -> None:
    run = simulate(crowd(Limits(inbox_bytes_max=2 * SIZE)), {"s": speaks, "hub": reads}, rounds=1)
    assert run.machine.backlog == 0
    run.machine.step(Advance())
    assert run.machine.backlog == 3


def test_requests_fill_the_bound_exactly() -> None:
    budget = EffectsBudget(10)
    assert budget.request(6) is True
    assert budget.request(5) is False
    assert budget.request(4) is True  # what was refused has taken nothing
    assert budget.reply(0, 1) == [0]
    budget.next_call()
    assert budget.request(0) is True
    assert budget.request(1) is False


def test_without_a_bound_everything_fits() -> None:
    budget = EffectsBudget(None)
    assert budget.request(10**12) is True
    assert budget.reply(0, 10**12) == []


def test_what_a_call_has_left_is_there_for_the_next() -> None:
    budget = EffectsBudget(10)
    assert budget.reply(0, 4) == []
    assert budget.reply(1, 7) == [1]
    budget.next_call()
    assert budget.reply(2, 6) == []
    budget.next_call()
    assert budget.reply(3, 1) == [3]
