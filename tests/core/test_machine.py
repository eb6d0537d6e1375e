"""The machine, driven without any process: order, mail, alarms, spawning, failures, ends."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.worlds import kind, plan, sends, still
from turnwise.core import head
from turnwise.core.envelope import decode_needs
from turnwise.core.events import (
    Advance,
    Commit,
    EffectAnswered,
    Execute,
    Input,
    OutsideChange,
    Request,
    TurnEnded,
    TurnTaken,
    WaveRun,
)
from turnwise.core.machine import Machine
from turnwise.core.plan import SEED_MAX, KindGrants, Limits, Plan
from turnwise.core.records import AgentRecord, ChangeRecord, MessageRecord, TurnRecord, WaveRecord
from turnwise.core.snapshot import digest
from turnwise.core.state import WorldState
from turnwise.core.turn import Completed, EffectRequest, Failed, Failure, FailureClass, Needs, Send, TurnOutput
from turnwise.core.withheld import Withheld
from turnwise.errors import DifferenceFound, InvariantError, JournalError
from turnwise.sim import Behaviour, Effect, Simulation, simulate


def moves(run: Simulation) -> list[tuple[int, list[str]]]:
    """Who moved in which round."""
    agents = run.machine.world.agents
    return [(record.round, [agents[turn.place].name for turn in record.turns]) for record in run.rounds]


def starts_with_a_message(to: str) -> Behaviour:
    def behaviour(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        return {"state": "", "send": [{"to": to, "body": f"{turn['self']} {turn['round']}"}]}

    return behaviour


def test_mail_is_read_in_the_next_round_and_an_empty_world_is_quiet() -> None:
    ping = kind("ping", start=True, grants=sends("pong"))
    run = simulate(plan([ping, kind("pong")]), {"ping": starts_with_a_message("pong"), "pong": still})
    assert moves(run) == [(1, ["ping"]), (2, ["pong"])]
    assert run.end is not None
    assert (run.end.reason, run.end.round) == ("quiet", 2)


def test_initial_messages_come_from_outside() -> None:
    seen: list[dict[str, Any]] = []

    def reader(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        seen.extend(turn["inbox"])
        return {"state": ""}

    simulate(plan([kind("reader")], messages=[("reader", "hello")]), {"reader": reader})
    assert seen == [{"from": "outside", "round": 0, "body": "hello"}]


def test_inbox_is_in_order_of_sender_then_sequence() -> None:
    bodies: list[str] = []

    def reader(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        bodies.extend(m["body"] for m in turn["inbox"])
        return {"state": ""}

    def writer(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        return {"state": "", "send": [{"to": "reader", "body": f"{turn['self']}{i}"} for i in range(2)]}

    kinds = [kind("reader"), kind("writer", start=True, grants=sends("reader"))]
    simulate(plan(kinds, ["b:writer", "reader:reader", "a:writer"]), {"reader": reader, "writer": writer}, order=3)
    assert bodies == ["b0", "b1", "a0", "a1"]


def test_a_child_may_finish_only_if_its_parent_may() -> None:
    def parent(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        return {"state": "", "spawn": [{"kind": "child", "name": "c"}]}

    def child(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        return {"state": "", "finish": "over"}

    for may, reason in ((False, "quiet"), (True, "finished")):
        kinds = [
            kind("parent", start=True, grants=KindGrants(spawn=("child",), finish=may)),
            kind("child", start=True, grants=KindGrants(finish=True)),
        ]
        run = simulate(plan(kinds, ["parent:parent"]), {"parent": parent, "child": child})
        assert run.end is not None
        assert run.end.reason == reason


def test_a_result_keeps_the_order_of_its_keys() -> None:
    result = {"winner": "b", "bids": {"z": 1, "a": 2}}
    world = plan([kind("a", start=True, grants=KindGrants(finish=True))])
    run = simulate(world, {"a": lambda turn, effect: {"state": "", "finish": result}})
    assert run.end is not None
    assert run.end.result == '{"winner":"b","bids":{"z":1,"a":2}}'


@pytest.mark.parametrize("schedule", ["rounds", "sequential"])
def test_an_alarm_rings_and_idle_rounds_are_skipped(schedule: Any) -> None:
    def sleeper(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        return {"state": "", "wake_in": 5} if turn["turn"] < 3 else {"state": ""}

    run = simulate(plan([kind("sleeper", start=True)], schedule=schedule), {"sleeper": sleeper})
    assert moves(run) == [(1, ["sleeper"]), (6, ["sleeper"]), (11, ["sleeper"])]


def test_mail_in_between_leaves_the_alarm() -> None:
    def sleeper(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        return {"state": "", "wake_in": 4} if turn["turn"] == 1 else {"state": ""}

    kinds = [kind("sleeper", start=True), kind("caller", start=True, grants=sends("sleeper"))]
    run = simulate(plan(kinds), {"sleeper": sleeper, "caller": starts_with_a_message("sleeper")})
    assert moves(run) == [(1, ["sleeper", "caller"]), (2, ["sleeper"]), (5, ["sleeper"])]


def test_rounds_max_ends_the_run() -> None:
    def restless(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        return {"state": "", "wake_in": 1}

    run = simulate(plan([kind("restless", start=True)], rounds_max=4), {"restless": restless})
    assert run.end is not None
    assert (run.end.reason, len(run.rounds)) == ("rounds_max", 4)


def test_finish_counts_all_turns_of_its_round_and_the_first_place_wins() -> None:
    def finisher(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        return {"state": "done", "finish": {"by": turn["self"]}}

    kinds = [kind("finisher", start=True, grants=KindGrants(finish=True))]
    run = simulate(plan(kinds, ["z:finisher", "a:finisher"]), {"finisher": finisher}, order=1)
    assert run.end is not None
    assert run.end.reason == "finished"
    assert json.loads(run.end.result or "") == {"by": "z"}
    assert [agent.state for agent in run.machine.world.agents] == ["done", "done"]


def test_a_group_message_is_one_message_and_passes_over_its_sender() -> None:
    kinds = [kind("crowd", groups=("all",)), kind("crier", start=True, groups=("all",), grants=sends("all"))]
    world = plan(kinds, ["c-1:crowd", "crier:crier", "c-2:crowd"])
    run = simulate(world, {"crowd": still, "crier": starts_with_a_message("all")})
    assert len(run.rounds[0].messages) == 1
    assert run.rounds[0].messages[0].recipients == (0, 2)
    assert moves(run)[1] == (2, ["c-1", "c-2"])


def test_a_message_to_nobody_is_a_dead_letter_and_no_failure() -> None:
    run = simulate(plan([kind("a", start=True, grants=sends("nobody-*"))]), {"a": starts_with_a_message("nobody-1")})
    assert run.rounds[0].messages[0].recipients == ()
    assert run.rounds[0].turns[0].failure is None


@pytest.mark.parametrize(
    ("output", "grants"),
    [
        ({"send": [{"to": "b", "body": ""}]}, KindGrants(send=("c",))),
        ({"spawn": [{"kind": "b", "name": "new"}]}, KindGrants()),
        ({"spawn": [{"kind": "nothing", "name": "new"}]}, KindGrants(spawn=("nothing",))),
        ({"stop": ["b"]}, KindGrants()),
        ({"finish": None}, KindGrants(send=("*",), spawn=("b",), stop=("*",))),
    ],
)
def test_what_is_not_granted_fails_the_turn_and_discards_its_output(output: dict[str, Any], grants: KindGrants) -> None:
    kinds = [kind("a", start=True, state="old", grants=grants), kind("b")]
    run = simulate(plan(kinds), {"a": lambda turn, effect: {"state": "new", **output}, "b": still})
    turn = run.rounds[0].turns[0]
    assert turn.failure is not None
    assert turn.failure.kind == FailureClass.DENIED
    assert run.machine.world.agents[0].state == "old"
    assert not run.rounds[0].messages
    assert not run.rounds[0].spawned
    assert not run.rounds[0].stopped


def test_a_failed_turn_uses_up_its_inbox_and_the_others_go_on() -> None:
    def fails(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        raise ValueError("no")

    kinds = [kind("a", start=True, grants=sends("b")), kind("b"), kind("c", start=True)]
    run = simulate(plan(kinds), {"a": starts_with_a_message("b"), "b": fails, "c": still})
    assert run.rounds[1].turns[0].inbox == (0,)
    failure = run.rounds[1].turns[0].failure
    assert failure is not None
    assert failure.kind == FailureClass.RAISED
    assert run.end is not None
    assert run.end.reason == "quiet"


def test_on_failure_stop_ends_the_run() -> None:
    def fails(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        return {"error": "I give up"}

    kinds = [kind("a", start=True)]
    run = simulate(plan(kinds, on_failure="stop"), {"a": fails})
    assert run.end is not None
    assert run.end.reason == "failed"
    assert run.end.message == "a failed in round 1: I give up"


def spawner(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
    child = {"kind": "child", "name": f"{turn['self']}-child", "args": {"by": turn["self"]}, "state": "young"}
    return {"state": "", "spawn": [child], "send": [{"to": child["name"], "body": "hello"}]}


def test_a_child_is_born_at_the_commit_and_has_its_first_turn_in_the_next_round() -> None:
    parent = kind("parent", start=True, grants=KindGrants(spawn=("child",), send=("*-child",)))
    child = kind("child", start=True, args='{"x":1}')
    run = simulate(plan([parent, child], ["p:parent"]), {"parent": spawner, "child": still})
    assert moves(run) == [(1, ["p"]), (2, ["p-child"])]
    born = run.rounds[0].spawned[0]
    assert (born.place, born.born, born.parent) == (1, 1, 0)
    assert json.loads(born.args) == {"x": 1, "by": "p"}
    assert run.rounds[1].turns[0].inbox == (0,)


def test_a_child_may_at_most_what_its_parent_may() -> None:
    parent = kind("parent", start=True, grants=KindGrants(spawn=("child",), send=("*-child",)))
    child = kind("child", start=True, grants=sends("p", "*-child"))
    run = simulate(plan([parent, child], ["p:parent"]), {"parent": spawner, "child": starts_with_a_message("p")})
    failure = run.rounds[1].turns[0].failure
    assert failure is not None
    assert failure.kind == FailureClass.DENIED


def test_a_name_that_exists_fails_the_turn_that_comes_second() -> None:
    def same(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        return {"state": "changed", "spawn": [{"kind": "child", "name": "twin"}]}

    kinds = [kind("parent", start=True, grants=KindGrants(spawn=("child",))), kind("child")]
    run = simulate(plan(kinds, ["p-1:parent", "p-2:parent"]), {"parent": same, "child": still}, order=5)
    assert [turn.failure and turn.failure.kind for turn in run.rounds[0].turns] == [None, FailureClass.CONFLICT]
    assert [agent.name for agent in run.rounds[0].spawned] == ["twin"]
    assert run.machine.world.by_name["p-2"].state == ""


def test_a_stopped_agent_moves_no_more_and_its_mail_is_dead() -> None:
    def killer(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        return {"state": "", "stop": ["victim"], "send": [{"to": "victim", "body": "bye"}]}

    def victim(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        return {"state": "", "wake_in": 1}

    kinds = [
        kind("killer", start=True, grants=KindGrants(send=("victim",), stop=("victim",))),
        kind("victim", start=True),
    ]
    run = simulate(plan(kinds), {"killer": killer, "victim": victim})
    assert moves(run) == [(1, ["killer", "victim"])]
    assert run.rounds[0].stopped == (1,)
    assert run.rounds[0].messages[0].recipients == ()


def test_sequential_moves_one_agent_a_round_oldest_first() -> None:
    kinds = [kind("hub"), kind("leaf", start=True, grants=sends("hub"))]
    world = plan(kinds, ["l-1:leaf", "hub:hub", "l-2:leaf"], schedule="sequential")
    run = simulate(world, {"hub": still, "leaf": starts_with_a_message("hub")})
    assert moves(run) == [(1, ["l-1"]), (2, ["l-2"]), (3, ["hub"])]
    assert run.rounds[2].turns[0].inbox == (0, 1)


@pytest.mark.parametrize("agents", [["sleeper:sleeper", "reader:reader"], ["reader:reader", "sleeper:sleeper"]])
@pytest.mark.parametrize(
    ("alarm", "expected"),
    [
        (1, [(1, ["sleeper"]), (2, ["sleeper"]), (3, ["reader"])]),  # both are due in round 2: the alarm comes first
        (2, [(1, ["sleeper"]), (2, ["reader"]), (3, ["sleeper"])]),  # the mail is older
    ],
)
def test_sequential_takes_alarms_before_mail_of_the_same_round(
    agents: list[str], alarm: int, expected: list[tuple[int, list[str]]]
) -> None:
    def sleeper(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        first = turn["turn"] == 1
        return {"state": "", **({"wake_in": alarm, "send": [{"to": "reader", "body": ""}]} if first else {})}

    kinds = [kind("sleeper", start=True, grants=sends("reader")), kind("reader")]
    run = simulate(plan(kinds, agents, schedule="sequential"), {"sleeper": sleeper, "reader": still})
    assert moves(run) == expected


def test_sequential_rings_alarms_of_the_same_round_in_order_of_place() -> None:
    world = plan([kind("a", start=True)], ["x:a", "y:a", "z:a"], schedule="sequential")
    assert moves(simulate(world, {"a": still})) == [(1, ["x"]), (2, ["y"]), (3, ["z"])]


@pytest.mark.parametrize("schedule", ["rounds", "sequential"])
def test_an_alarm_skips_to_its_round_and_a_newer_one_replaces_it(schedule: str) -> None:
    def sleeper(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        return {"state": "", **({"wake_in": 9} if turn["turn"] == 1 else {"wake_in": 2} if turn["turn"] == 2 else {})}

    kinds = [kind("sleeper", start=True), kind("caller", start=True, grants=sends("sleeper"))]
    world = plan(kinds, schedule=schedule)
    run = simulate(world, {"sleeper": sleeper, "caller": starts_with_a_message("sleeper")})
    rounds = [round_ for round_, names in moves(run) if "sleeper" in names]
    second = 2 if schedule == "rounds" else 3
    assert rounds == [1, second, second + 2]


@pytest.mark.parametrize("schedule", ["rounds", "sequential"])
def test_an_alarm_that_was_replaced_is_silent_behind_one_that_rings(schedule: str) -> None:
    """Both sleep until round 6; the second is woken before, and sleeps on until round 13 and more."""

    def sleeper(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        return {"state": "", "wake_in": {1: 6 - turn["round"], 2: 20}.get(turn["turn"], 40)}

    kinds = [kind("sleeper", start=True), kind("caller", start=True, grants=sends("second"))]
    world = plan(kinds, ["first:sleeper", "second:sleeper", "caller:caller"], schedule=schedule, rounds_max=10)
    run = simulate(world, {"sleeper": sleeper, "caller": starts_with_a_message("second")})
    assert [round_ for round_, names in moves(run) if "first" in names] == [1, 6]
    assert [round_ for round_, names in moves(run) if "second" in names] == ([1, 2] if schedule == "rounds" else [2, 4])


def test_effects_suspend_the_turn_and_run_it_again_with_the_replies() -> None:
    executions: list[int] = []

    def thinker(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        executions.append(1)
        first = effect({"effect": "generate", "model": "m", "prompt": "a"})["ok"]["text"]
        both = effect({"effects": [{"effect": "generate", "model": "m", "prompt": first + x} for x in "bc"]})
        return {"state": " ".join(reply["ok"]["text"] for reply in both["results"])}

    streams: list[bytes] = []

    def answer(request: EffectRequest, stream: bytes) -> dict[str, Any]:
        streams.append(stream)
        return {"ok": {"text": json.loads(request.body)["prompt"] + "+"}}

    kinds = [kind("thinker", start=True, grants=KindGrants(generate=("m",)))]
    run = simulate(plan(kinds, models=(("m", "0" * 64),)), {"thinker": thinker}, answer=answer)
    turn = run.rounds[0].turns[0]
    assert turn.output is not None
    assert turn.output.state == "a+b+ a+c+"
    assert (turn.executions, len(executions), len(turn.effects)) == (3, 3, 3)
    assert len(set(streams)) == 3
    assert all(len(stream) == 32 for stream in streams)


def test_waves_are_committed_in_order_and_show_in_the_execution_digest_only() -> None:
    def played(*waves: WaveRecord) -> Machine:
        machine = Machine(plan([kind("a", start=True), kind("b", start=True)]))
        machine.step(Advance())
        for wave in waves:
            assert machine.step(WaveRun(wave)) == []
        machine.step(TurnEnded(1, Completed(TurnOutput("")), 1))
        [commit] = machine.step(TurnEnded(0, Completed(TurnOutput("")), 1))
        assert isinstance(commit, Commit)
        assert commit.record.waves == tuple(sorted(waves, key=lambda wave: (wave.wave, wave.model)))
        assert machine.execution == commit.record.execution
        return machine

    first, other = WaveRecord(1, "m", ((0, 0), (1, 0)), "{}"), WaveRecord(1, "n", ((1, 1),), "{}")
    second = WaveRecord(2, "m", ((0, 1),), "{}")
    together = played(first, other, second)
    assert played(second, other, first).execution == together.execution
    assert len({played().execution, played(first).execution, together.execution}) == 3
    assert played().head == together.head
    with pytest.raises(InvariantError, match="has no turn"):
        played(WaveRecord(1, "m", ((2, 0),), "{}"))


@pytest.mark.parametrize(
    ("request_", "kind_", "said"),
    [
        ({"effect": "generate", "model": "m", "prompt": "a"}, "denied", "thinker is not granted the model 'm'"),
        ({"effect": "generate", "prompt": "a"}, "refused", "the effect 'generate' needs a 'model'"),
        ({"effect": "dream", "model": "m"}, "unknown", "there is no effect called 'dream'"),
        ({"effect": "dream"}, "unknown", "there is no effect called 'dream'"),
    ],
)
def test_an_effect_that_is_refused_is_an_error_that_the_agent_may_catch(
    request_: dict[str, Any], kind_: str, said: str
) -> None:
    def thinker(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        error = effect(request_)["error"]
        return {"state": f"{error['kind']}: {error['message']}"}

    run = simulate(plan([kind("thinker", start=True)]), {"thinker": thinker})
    assert run.machine.world.agents[0].state.startswith(f"{kind_}: {said}")
    assert len(run.rounds[0].turns[0].effects) == 1


def test_more_effects_than_allowed_fail_the_turn() -> None:
    def greedy(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        while True:
            effect({"effect": "nothing"})

    kinds = [kind("greedy", start=True, limits=Limits(effects_max=3))]
    turn = simulate(plan(kinds), {"greedy": greedy}).rounds[0].turns[0]
    assert turn.failure is not None
    assert turn.failure.kind == FailureClass.EFFECTS
    assert [effect.index for effect in turn.effects] == [0, 1, 2]


def test_fuel_is_charged_over_all_executions() -> None:
    def thinker(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        for _ in range(5):
            effect({"effect": "nothing"})
        return {"state": ""}

    def run(fuel: int) -> FailureClass | None:
        kinds = [kind("thinker", start=True, limits=Limits(fuel=fuel))]
        failure = simulate(plan(kinds), {"thinker": thinker}).rounds[0].turns[0].failure
        return failure.kind if failure else None

    assert run(7) is None  # six executions of one unit each
    assert run(6) == FailureClass.FUEL  # nothing is left: whoever spends exactly what there is has failed
    assert run(5) == FailureClass.FUEL


def test_what_a_turn_used_is_recorded_and_what_is_left_is_handed_on() -> None:
    machine = Machine(plan([kind("a", start=True, limits=Limits(fuel=10))]))
    (first,) = machine.step(Advance())
    assert isinstance(first, Execute)
    assert first.fuel == 10
    needs = decode_needs('{"effect": "nothing"}')
    (second,) = machine.step(TurnEnded(0, needs, 4, "first"))
    assert isinstance(second, Execute)
    assert second.fuel == 6
    (commit,) = machine.step(TurnEnded(0, Completed(TurnOutput("")), 6, "second"))
    assert isinstance(commit, Commit)
    (turn,) = commit.record.turns
    assert (turn.fuel, turn.executions, turn.stdout) == (10, 2, "second")
    assert turn.failure is not None
    assert turn.failure.kind == FailureClass.FUEL
    assert "its 10 units of fuel (`fuel` of its kind)" in turn.failure.message


def test_the_machine_refuses_events_that_cannot_come() -> None:
    machine = Machine(plan([kind("a", start=True)]))
    done = TurnEnded(0, Completed(TurnOutput("")), 1)
    with pytest.raises(InvariantError):
        machine.step(done)
    (action,) = machine.step(Advance())
    assert isinstance(action, Execute)
    with pytest.raises(InvariantError):
        machine.step(Advance())
    with pytest.raises(InvariantError):
        machine.step(EffectAnswered(0, 0, "{}"))
    machine.step(done)
    with pytest.raises(InvariantError):
        machine.step(done)


def test_input_enters_at_the_next_boundary() -> None:
    machine = Machine(plan([kind("a")]))
    assert not machine.due
    machine.step(Input("a", "hello"))
    assert machine.due
    run = simulate(machine.plan, {"a": still}, machine=machine)
    assert run.rounds[0].inputs[0].body == "hello"
    assert run.rounds[0].turns[0].inbox == (0,)


def test_an_input_that_comes_later_waits_for_its_round() -> None:
    machine = Machine(plan([kind("a", start=True)]))
    machine.step(Input("a", "later", after=5))
    machine.step(Input("a", "at once"))
    run = simulate(machine.plan, {"a": still}, machine=machine)
    assert [(record.round, [message.body for message in record.inputs]) for record in run.rounds] == [
        (1, ["at once"]),
        (6, ["later"]),
    ]
    assert run.rounds[1].inputs[0].round == 5


def test_an_input_that_comes_later_is_read_though_one_before_it_reaches_nobody() -> None:
    machine = Machine(plan([kind("a")]))
    machine.step(Input("nobody", "lost", after=3))
    machine.step(Input("a", "read", after=6))
    run = simulate(machine.plan, {"a": still}, machine=machine)
    assert [(record.round, [message.body for message in record.inputs]) for record in run.rounds] == [
        (7, ["lost", "read"]),
    ]


@pytest.mark.parametrize("rounds_max", [2, 9])
def test_an_input_that_reaches_nobody_at_the_end_is_a_dead_letter_in_a_round_of_nobody(rounds_max: int) -> None:
    def leaves(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        return {"state": "", "stop": [turn["self"]]}

    world = plan([kind("a", start=True)], rounds_max=rounds_max)
    machine = Machine(world)
    first = simulate(world, {"a": leaves}, machine=machine, rounds=1)
    machine.step(Input("a", "too late"))
    run = simulate(world, {"a": leaves}, machine=machine)
    assert [(record.round, len(record.turns)) for record in run.rounds] == [(2, 0)]
    assert [(message.body, message.recipients) for message in run.rounds[0].inputs] == [("too late", ())]
    assert run.end is not None
    assert (run.end.reason, run.end.round) == ("quiet", 2)
    again = Machine(world)
    again.restore([*first.rounds, *run.rounds])
    assert again.head == run.rounds[0].head


def test_such_an_input_is_kept_beside_an_alarm_that_never_rings() -> None:
    def behaves(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        return {"state": "", "stop": ["a"]} if turn["self"] == "a" else {"state": "", "wake_in": 50}

    world = plan([kind("a", start=True), kind("b", start=True)], rounds_max=9)
    machine = Machine(world)
    simulate(world, {"a": behaves, "b": behaves}, machine=machine, rounds=1)
    machine.step(Input("a", "too late"))
    run = simulate(world, {"a": behaves, "b": behaves}, machine=machine)
    assert [message.body for record in run.rounds for message in record.inputs] == ["too late"]
    assert run.end is not None
    assert run.end.reason == "rounds_max"


def test_such_an_input_is_kept_in_the_round_of_an_alarm_that_rings_last() -> None:
    def behaves(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        return {"state": "", "stop": ["a"]} if turn["self"] == "a" else {"state": "", "wake_in": 8}

    world = plan([kind("a", start=True, grants=KindGrants(stop=("a",))), kind("b", start=True)], rounds_max=9)
    machine = Machine(world)
    simulate(world, {"a": behaves, "b": behaves}, machine=machine, rounds=1)
    machine.step(Input("a", "to nobody"))
    run = simulate(world, {"a": behaves, "b": behaves}, machine=machine)
    assert [(record.round, [m.body for m in record.inputs]) for record in run.rounds] == [(9, ["to nobody"])]


@pytest.mark.parametrize("on_failure", ["continue", "stop"])
def test_an_input_that_comes_during_the_round_that_ends_the_run_is_a_dead_letter_of_it(on_failure: Any) -> None:
    output = TurnOutput("", (Send("a", "unread"),), finish="1")
    ended: Any = Failed(Failure(FailureClass.RAISED, "")) if on_failure == "stop" else Completed(output)
    world = plan([kind("a", start=True, grants=KindGrants(send=("a",), finish=True))], on_failure=on_failure)
    machine = Machine(world)
    machine.step(Advance())
    machine.step(Input("a", "too late", after=1))
    machine.step(Input("a", "never", after=2))
    assert not machine.ending
    (commit,) = machine.step(TurnEnded(0, ended, 1, ""))
    assert isinstance(commit, Commit)
    assert commit.end is not None
    (late,) = commit.record.inputs
    assert (late.seq, late.round, late.body, late.recipients) == (0, 1, "too late", ())
    assert [message.seq for message in commit.record.messages] == ([] if on_failure == "stop" else [1])
    assert machine.ending
    again = Machine(world)
    again.restore([commit.record])
    assert again.head == commit.record.head
    assert again.ending


def test_an_input_that_comes_during_another_round_is_read_in_the_next() -> None:
    machine = Machine(plan([kind("a", start=True)]))
    machine.step(Advance())
    machine.step(Input("a", "in time"))
    (commit,) = machine.step(TurnEnded(0, Completed(TurnOutput("")), 1, ""))
    assert isinstance(commit, Commit)
    assert (commit.record.inputs, machine.ending, machine.due) == ((), False, True)


# -- changes from outside ----------------------------------------------------------------------------------------


def changed(run: Machine, *changes: ChangeRecord) -> Machine:
    for change in changes:
        run.step(OutsideChange(change))
    return run


def ticks(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
    """Counts in its state, and wakes itself in two rounds."""
    return {"state": str(int(turn["state"] or 0) + 1), "wake_in": 2, "log": [{"level": "info", "text": turn["seed"]}]}


def ticking(rounds: int) -> tuple[Plan, Machine]:
    world = plan([kind("a", start=True), kind("b", start=True)], rounds_max=9)
    machine = Machine(world)
    simulate(world, {"a": ticks, "b": ticks}, machine=machine, rounds=rounds)
    return world, machine


def test_a_change_makes_a_round_in_which_nobody_may_move() -> None:
    world, machine = ticking(2)
    assert machine.round == 3
    run = simulate(world, {"a": ticks, "b": ticks}, machine=changed(machine, ChangeRecord("state", 1, "10")), rounds=2)
    assert [(record.round, len(record.turns), len(record.changes)) for record in run.rounds] == [(4, 0, 1), (5, 2, 0)]
    states = [turn.output.state for turn in run.rounds[1].turns if turn.output is not None]
    assert states == ["3", "11"]


def test_a_stopped_agent_and_a_dropped_message_are_gone() -> None:
    world = plan([kind("a", grants=sends("b"), start=True), kind("b"), kind("c", start=True)])
    machine = Machine(world)

    def writes(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        return {"state": "", "send": [{"to": "b", "body": "one"}, {"to": "b", "body": "two"}]}

    behaviours = {"a": writes, "b": still, "c": ticks}
    simulate(world, behaviours, machine=machine, rounds=1)
    changes = ChangeRecord("drop", 0), ChangeRecord("stop", 2)
    run = simulate(world, behaviours, machine=changed(machine, *changes))
    assert [(record.round, [turn.inbox for turn in record.turns]) for record in run.rounds] == [(2, [(1,)])]
    assert run.rounds[0].changes == changes


def test_the_only_message_of_an_agent_can_be_dropped() -> None:
    world = WorldState(plan([kind("a"), kind("b")]))
    world.deliver([MessageRecord(0, 0, None, "a", "one", (0,)), MessageRecord(1, 0, None, "b", "two", (1,))])
    world.change([ChangeRecord("drop", 0)])
    assert [[letter.seq for letter in agent.inbox] for agent in world.agents] == [[], [1]]


def test_an_agent_can_be_given_state_and_arguments() -> None:
    world = WorldState(plan([kind("a"), kind("b")]))
    world.change([ChangeRecord("state", 0, "given"), ChangeRecord("args", 1, '{"n":1}')])
    assert [(agent.state, agent.args, agent.alive) for agent in world.agents] == [
        ("given", "{}", True),
        ("", '{"n":1}', True),
    ]
    for place in (-1, 2):
        with pytest.raises(JournalError, match="something was changed that is not there"):
            world.change([ChangeRecord("state", place, "x")])


def test_a_change_of_the_plan_holds_from_its_round_on() -> None:
    world, machine = ticking(1)
    text = '{"kinds":{"b":{"args":"{}","grants":{"send":["a"]}}},"rounds_max":5,"seed":8}'
    run = simulate(world, {"a": ticks, "b": ticks}, machine=changed(machine, ChangeRecord("plan", None, text)))
    assert machine.plan.seed == 8
    assert machine.world.by_name["b"].grants == (sends("a"),)
    assert run.end is not None
    assert (run.end.reason, run.end.round) == ("rounds_max", 5)
    whole = simulate(world, {"a": ticks, "b": ticks})
    seeds = [[turn.output.log for turn in record.turns if turn.output] for record in (run.rounds[1], whole.rounds[1])]
    assert run.rounds[1].round == whole.rounds[1].round == 3
    assert seeds[0] != seeds[1]


def test_changes_are_part_of_the_head_and_are_restored() -> None:
    heads = set()
    for change in (
        ChangeRecord("state", 0, "5"),
        ChangeRecord("state", 1, "5"),
        ChangeRecord("args", 0, "5"),
        ChangeRecord("stop", 1),
        ChangeRecord("drop", 99),
        ChangeRecord("plan", None, '{"seed":7}'),
    ):
        world, machine = ticking(2)
        before = list(simulate(world, {"a": ticks, "b": ticks}, rounds=2).rounds)
        run = simulate(world, {"a": ticks, "b": ticks}, machine=changed(machine, change))
        heads.add(run.rounds[0].head)
        again = Machine(world)
        again.restore([*before, *run.rounds[:2]])
        rest = simulate(world, {"a": ticks, "b": ticks}, machine=again)
        assert (rest.rounds, rest.end) == (run.rounds[2:], run.end)
    assert len(heads) == 6


def test_a_change_before_the_first_round_is_restored() -> None:
    world = plan([kind("a")])
    machine = Machine(world)
    machine.step(OutsideChange(ChangeRecord("state", 0, "given")))
    (commit,) = machine.step(Advance())
    assert isinstance(commit, Commit)
    again = Machine(world)
    again.restore([commit.record])
    assert again.world.agents[0].state == "given"
    assert again.head == commit.record.head
    assert digest(again.world) == digest(machine.world)


def test_what_was_to_come_from_outside_must_have_come() -> None:
    world, machine = ticking(2)
    before = list(simulate(world, {"a": ticks, "b": ticks}, rounds=2).rounds)
    machine.step(Input("a", "hello", after=4))
    run = simulate(world, {"a": ticks, "b": ticks}, machine=changed(machine, ChangeRecord("state", 0, "5")))
    for wrong in (ChangeRecord("state", 0, "6"), Input("a", "other", after=4)):
        again = Machine(world)
        again.restore(before)
        again.step(OutsideChange(wrong) if isinstance(wrong, ChangeRecord) else wrong)
        with pytest.raises(DifferenceFound, match="came from outside"):
            again.restore(run.rounds)


def test_what_comes_after_a_round_is_not_due_before_it() -> None:
    world = plan([kind("a", start=True)], rounds_max=9)
    whole = Machine(world)
    whole.step(Input("a", "hello", after=3))
    run = simulate(world, {"a": ticks}, machine=whole)
    assert [(record.round, len(record.inputs)) for record in run.rounds] == [(1, 0), (3, 0), (4, 1), (6, 0), (8, 0)]
    for known in range(len(run.rounds) + 1):
        again = Machine(world)
        again.step(Input("a", "hello", after=3))
        again.restore(run.rounds[:known])
        rest = simulate(world, {"a": ticks}, machine=again)
        assert (rest.rounds, rest.end) == (run.rounds[known:], run.end)


@pytest.mark.parametrize(
    "change", [ChangeRecord("state", 9, "x"), ChangeRecord("state", 0), ChangeRecord("stop", 0, "x")]
)
def test_a_change_of_what_is_not_there_is_damage(change: ChangeRecord) -> None:
    _, machine = ticking(2)
    with pytest.raises(JournalError, match="not there"):
        simulate(machine.plan, {"a": ticks, "b": ticks}, machine=changed(machine, change))


# -- properties --------------------------------------------------------------------------------------------------


def chatter(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
    """Does a bit of everything, chosen by the turn's own seed."""
    choice = int(turn["seed"][:8], 16)
    output: dict[str, Any] = {"state": turn["state"][-20:] + str(choice % 10), "send": [], "log": []}
    if choice % 3 == 0:
        output["send"].append({"to": "all", "body": str(choice)})
    if choice % 4 == 0:
        output["wake_in"] = 1 + choice % 3
    if choice % 5 == 0:
        output["spawn"] = [{"kind": "chatter", "name": f"n{choice % 50}"}]
    if choice % 7 == 0:
        output["state"] += effect({"effect": "generate", "model": "m", "prompt": "x"})["ok"]["text"]
    if choice % 11 == 0:
        output["stop"] = [f"c-{choice % 3}"]
    if choice % 13 == 0:
        raise ValueError("bad luck")
    for message in turn["inbox"]:
        output["send"].append(
            {"to": message["from"], "body": message["body"][:10] + "."} if choice % 2 else {"to": "all", "body": "echo"}
        )
    output["send"] = [send for send in output["send"] if send["to"] != "outside"][:3]
    return output


def chatter_world(seed: int, schedule: str) -> Plan:
    everything = KindGrants(generate=("m",), send=("all", "*"), spawn=("chatter",), stop=("*",))
    kinds = [kind("chatter", start=True, groups=("all",), grants=everything)]
    return plan(
        kinds,
        ["c-0:chatter", "c-1:chatter", "c-2:chatter"],
        seed=seed,
        schedule=schedule,
        rounds_max=12,
        messages=[("all", "go")],
    )


def echo(request: EffectRequest, stream: bytes) -> dict[str, Any]:
    return {"ok": {"text": stream.hex()[:4]}}


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**63 - 1), order=st.integers(), schedule=st.sampled_from(["rounds", "sequential"]))
def test_the_order_of_work_never_shows(seed: int, order: int, schedule: str) -> None:
    world = chatter_world(seed, schedule)
    plain = simulate(world, {"chatter": chatter}, answer=echo)
    shuffled = simulate(world, {"chatter": chatter}, answer=echo, order=order)
    assert plain.rounds == shuffled.rounds
    assert plain.end == shuffled.end


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**63 - 1), schedule=st.sampled_from(["rounds", "sequential"]), data=st.data())
def test_a_restored_run_goes_on_to_the_same_end(seed: int, schedule: str, data: st.DataObject) -> None:
    world = chatter_world(seed, schedule)
    whole = simulate(world, {"chatter": chatter}, answer=echo)
    cut = data.draw(st.integers(0, len(whole.rounds)))
    machine = Machine(world)
    machine.restore(whole.rounds[:cut])
    rest = simulate(world, {"chatter": chatter}, answer=echo, machine=machine)
    assert whole.rounds[cut:] == rest.rounds
    assert whole.end == rest.end


@pytest.mark.parametrize("schedule", ["rounds", "sequential"])
@pytest.mark.parametrize("seed", [2, 3, 6, 9])
def test_turns_that_are_taken_as_they_are_recorded_come_to_the_same_rounds(seed: int, schedule: str) -> None:
    world = chatter_world(seed, schedule)
    whole = simulate(world, {"chatter": chatter}, answer=echo)
    machine = Machine(world)
    for record in whole.rounds:
        actions = machine.step(Advance())
        turns = {turn.place: turn for turn in record.turns}
        for action in reversed(actions):
            assert isinstance(action, Execute)
            children = [
                replace(child, args=Withheld(sha256(child.args.encode()).hexdigest()))
                for child in record.spawned
                if child.parent == action.place
            ]
            ended = machine.step(TurnTaken(turns[action.place], tuple(children)))
        (commit,) = ended
        assert isinstance(commit, Commit)
        assert commit.record == record  # a withheld text is equal to the one that has its digest
        assert all(type(child.args) is Withheld for child in commit.record.spawned)
    assert any(record.spawned for record in whole.rounds)


def test_only_a_turn_that_has_not_begun_is_taken_as_it_is_recorded() -> None:
    output = TurnOutput("")
    record = TurnRecord(0, 1, (), output, None, (), "", 1, 1)
    waits = Needs((EffectRequest("generate", "m", "{}"),), many=False)

    def begun() -> Machine:
        world = plan([kind("a", start=True, grants=KindGrants(generate=("m",))), kind("b", start=True)])
        machine = Machine(world)
        machine.step(Advance())
        return machine

    machine = begun()
    assert machine.step(TurnTaken(record)) == []
    with pytest.raises(InvariantError, match="cannot be taken"):
        machine.step(TurnTaken(record))
    machine = begun()
    machine.step(TurnEnded(0, waits, 1))
    with pytest.raises(InvariantError, match="cannot be taken"):
        machine.step(TurnTaken(record))
    machine = begun()
    with pytest.raises(InvariantError, match="cannot be taken"):
        machine._open_turn(1).take(record)


def test_whether_a_round_can_follow_is_known() -> None:
    machine = Machine(plan([kind("a", start=True)]))
    assert machine.ending is False
    machine.step(Advance())
    assert machine.ending is False
    machine.step(TurnEnded(0, Completed(TurnOutput("")), 1))
    assert machine.ending is False  # an input may come
    machine.step(Advance())
    assert machine.end is not None
    assert machine.ending is True
    machine = Machine(plan([kind("a", start=True, grants=KindGrants(finish=True)), kind("b", start=True)]))
    machine.step(Advance())
    machine.step(TurnEnded(0, Completed(TurnOutput("", finish="1")), 1))
    assert machine.ending is False
    machine.step(TurnEnded(1, Completed(TurnOutput("")), 1))
    assert machine.end is None
    assert machine.ending is True


def test_restoring_a_changed_record_is_noticed() -> None:
    world = chatter_world(3, "rounds")
    whole = simulate(world, {"chatter": chatter}, answer=echo)
    changed = replace(whole.rounds[1], messages=())
    with pytest.raises(DifferenceFound, match="the head of round 2") as caught:
        Machine(world).restore([whole.rounds[0], changed])
    assert caught.value.expected == whole.rounds[1].head.hex()
    assert caught.value.actual not in (None, caught.value.expected)


def test_another_seed_gives_another_head() -> None:
    runs = [simulate(chatter_world(seed, "rounds"), {"chatter": chatter}, answer=echo) for seed in (1, 2)]
    assert runs[0].head != runs[1].head


def test_adding_an_agent_shifts_nobody_elses_stream() -> None:
    seeds: dict[str, list[str]] = {}

    def listener(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        seeds.setdefault(turn["self"], []).append(turn["seed"])
        return {"state": ""}

    kinds = [kind("k", start=True)]
    simulate(plan(kinds, ["a:k", "b:k"]), {"k": listener})
    simulate(plan(kinds, ["new:k", "b:k", "a:k"]), {"k": listener})
    assert seeds["a"][0] == seeds["a"][1]
    assert seeds["b"][0] == seeds["b"][1]
    assert seeds["a"][0] != seeds["b"][0]


def test_requests_name_their_stream_by_agent_and_turn() -> None:
    machine = Machine(plan([kind("a", start=True, grants=KindGrants(generate=("m",)))]))
    machine.step(Advance())
    needs = Needs((EffectRequest("generate", "m", "{}"),), many=False)
    (action,) = machine.step(TurnEnded(0, needs, 1))
    assert isinstance(action, Request)
    assert machine.waiting() == [("a", 1)]


# -- what is easily mistaken ---------------------------------------------------------------------------------------


def test_the_machine_says_where_it_stands() -> None:
    machine = Machine(plan([kind("a", start=True, grants=KindGrants(generate=("m",))), kind("b", start=True)]))
    assert (machine.between_rounds, machine.executing) == (True, 0)
    machine.step(Advance())
    assert (machine.between_rounds, machine.executing) == (False, 2)
    machine.step(TurnEnded(0, Needs((EffectRequest("generate", "m", "{}"),), many=False), 1))
    assert (machine.executing, machine.waiting()) == (1, [("a", 1)])
    machine.step(TurnEnded(1, Completed(TurnOutput("")), 1))
    assert machine.executing == 0
    machine.step(EffectAnswered(0, 0, '{"ok":{}}'))
    assert (machine.executing, machine.waiting()) == (1, [])
    machine.step(TurnEnded(0, Completed(TurnOutput("")), 1))
    assert (machine.between_rounds, machine.executing) == (True, 0)


def test_a_turn_that_has_ended_or_waits_is_not_executed() -> None:
    machine = Machine(plan([kind("a", start=True, grants=KindGrants(generate=("m",))), kind("b", start=True)]))
    machine.step(Advance())
    done = Completed(TurnOutput(""))
    machine.step(TurnEnded(1, done, 1))
    with pytest.raises(InvariantError, match="b was not being executed"):
        machine.step(TurnEnded(1, done, 1))
    machine.step(TurnEnded(0, Needs((EffectRequest("generate", "m", "{}"),), many=False), 1))
    with pytest.raises(InvariantError, match="a was not being executed"):
        machine.step(TurnEnded(0, done, 1))


@pytest.mark.parametrize("event", [Input("a", "hello"), OutsideChange(ChangeRecord("state", 0, "x"))])
def test_what_comes_from_outside_asks_for_nothing_at_once(event: Input | OutsideChange) -> None:
    assert Machine(plan([kind("a")])).step(event) == []


@pytest.mark.parametrize("rule", [1, 2])
def test_the_head_of_a_run_that_has_ended_is_that_of_its_end(rule: int) -> None:
    world = plan([kind("a", start=True)])
    run = simulate(world, {"a": still}, machine=Machine(world, rule=rule))
    assert run.end is not None
    last = run.rounds[-1].head
    assert run.machine.head == (last if rule == 1 else head.ended(last, run.end))
    assert run.end.head == (None if rule == 1 else run.machine.head)


def test_a_child_reads_what_its_groups_were_sent_in_the_round_of_its_birth() -> None:
    def parent(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        return {
            "state": "",
            "spawn": [{"kind": "child", "name": "new"}],
            "stop": ["second"],
            "send": [{"to": "all", "body": ""}, {"to": "none", "body": ""}],
        }

    grants = KindGrants(spawn=("child",), send=("*",), stop=("*",))
    kinds = [kind("parent", start=True, groups=("none",), grants=grants), kind("child", groups=("all",))]
    world = plan(kinds, ["parent:parent", "first:child", "second:child"])
    run = simulate(world, {"parent": parent, "child": still})
    assert [message.recipients for message in run.rounds[0].messages] == [(1, 3), ()]
    assert moves(run)[1] == (2, ["first", "new"])


def test_the_first_turn_that_failed_ends_the_run_whoever_moved_before() -> None:
    kinds = [kind("good", start=True), kind("bad", start=True), kind("worse", start=True)]
    failing = {name: lambda turn, effect, name=name: {"error": name} for name in ("bad", "worse")}
    run = simulate(plan(kinds, on_failure="stop"), {"good": still, **failing})
    assert run.end is not None
    assert (run.end.reason, run.end.message) == ("failed", "bad failed in round 1: bad")


def test_a_turn_without_fuel_has_no_output_whatever_it_returned() -> None:
    machine = Machine(plan([kind("a", start=True, state="old", limits=Limits(fuel=3))]))
    machine.step(Advance())
    (commit,) = machine.step(TurnEnded(0, Completed(TurnOutput("new", wake_in=1)), 3))
    assert isinstance(commit, Commit)
    assert commit.record.turns[0].output is None
    assert machine.world.agents[0].state == "old"


@given(start=st.integers(0, 2**50), length=st.integers(1, 2**40))
def test_the_time_of_a_round_is_counted_from_that_of_the_first(start: int, length: int) -> None:
    seen: list[int] = []

    def watches(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        seen.append(turn["now_us"])
        return {"state": "", **({"wake_in": turn["turn"]} if turn["turn"] < 3 else {})}

    simulate(plan([kind("a", start=True)], time_start_us=start, round_us=length), {"a": watches})
    assert seen == [start, start + length, start + 3 * length]


def test_a_seed_fits_eight_bytes_with_a_sign_and_no_larger_one_does() -> None:
    SEED_MAX.to_bytes(8, "big", signed=True)
    with pytest.raises(OverflowError):
        (SEED_MAX + 1).to_bytes(8, "big", signed=True)


def test_who_was_stopped_stays_so() -> None:
    def killer(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        letters = [{"to": to, "body": ""} for to in ("victim", "all")]
        return {"state": "", "stop": ["victim"], "send": letters, **({"wake_in": 1} if turn["turn"] < 3 else {})}

    grants = KindGrants(send=("*",), stop=("victim",))
    kinds = [kind("killer", start=True, grants=grants), kind("victim", groups=("all",))]
    run = simulate(plan(kinds, messages=[("victim", "read in round 1")]), {"killer": killer, "victim": still})
    assert [record.stopped for record in run.rounds] == [(1,), (), ()]
    assert [message.recipients for record in run.rounds for message in record.messages] == [()] * 6
    victim = run.machine.world.by_name["victim"]
    assert (victim.alive, victim.inbox, victim.wake_at) == (False, [], None)


def test_a_child_takes_its_turn_behind_who_was_due_before_its_birth() -> None:
    def parent(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        return {"state": "", **({"spawn": [{"kind": "child", "name": "new"}]} if turn["self"] == "p" else {})}

    kinds = [kind("parent", start=True, grants=KindGrants(spawn=("child",))), kind("child", start=True)]
    run = simulate(plan(kinds, ["p:parent", "q:parent"], schedule="sequential"), {"parent": parent, "child": still})
    assert moves(run) == [(1, ["p"]), (2, ["q"]), (3, ["new"])]


def test_a_state_takes_the_next_round_only_and_agents_that_are_new() -> None:
    world = plan([kind("a", start=True)])
    first = simulate(world, {"a": still}).rounds[0]
    state = WorldState(world)
    state.apply(first)
    with pytest.raises(InvariantError, match="round 1 cannot follow round 1"):
        state.apply(first)
    for place, name in ((1, "a"), (0, "b"), (2, "b")):
        child = AgentRecord(place, name, "a", "{}", "", 1, 0, ("a",))
        with pytest.raises(InvariantError, match="cannot have place"):
            WorldState(world).apply(replace(first, spawned=(child,)))


def test_a_change_comes_at_once_though_an_input_waits_for_a_later_round() -> None:
    run = Machine(plan([kind("a")]))
    run.step(Input("a", "later", after=5))
    run.step(OutsideChange(ChangeRecord("state", 0, "given")))
    (commit,) = run.step(Advance())
    assert isinstance(commit, Commit)
    assert (commit.record.round, commit.record.inputs) == (1, ())
    (action,) = run.step(Advance())
    assert isinstance(action, Execute)
    assert (action.input.round, action.input.state) == (6, "given")
