"""From a snapshot a run goes on as from all the rounds before it, and no other state passes for it."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from random import Random
from typing import Any

import pytest

from tests.core.test_machine import chatter, chatter_world, echo
from tests.core.worlds import kind, plan
from turnwise.core import snapshot as snapshots
from turnwise.core.contents import Kept
from turnwise.core.events import Advance, Commit, Input, OutsideChange, TurnEnded
from turnwise.core.head import text_digest
from turnwise.core.machine import Machine
from turnwise.core.parked import Parked
from turnwise.core.plan import KindGrants, Limits, Plan, Schedule
from turnwise.core.question import answer_reply
from turnwise.core.records import (
    AgentRecord,
    AnswerRecord,
    ChangeRecord,
    MessageRecord,
    ParkRecord,
    QuestionRecord,
    RoundRecord,
)
from turnwise.core.snapshot import Snapshot
from turnwise.core.state import WorldState
from turnwise.core.turn import Completed, TurnOutput
from turnwise.errors import DifferenceFound
from turnwise.sim import Effect, simulate

EVERYTHING = KindGrants(send=("*", "all"), spawn=("busy",), stop=("*",))


def busy(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
    """Does a bit of everything, as its own stream of chance says."""
    chance = Random(turn["seed"])
    if chance.random() < 0.05:
        return {"error": "bad luck"}
    output: dict[str, Any] = {"state": f"{turn['turn']} {len(turn['inbox'])} {chance.random()}", "send": []}
    if chance.random() < 0.5:
        output["send"].append({"to": "all", "body": f"to all {chance.random()}"})
    if chance.random() < 0.5:
        output["send"].append({"to": chance.choice(["a", "b", "c"]), "body": "x" * chance.randint(1, 200)})
    if chance.random() < 0.7 or turn["self"] == "a":
        output["wake_in"] = chance.randint(1, 4)
    if chance.random() < 0.01:
        output["spawn"] = [
            {"kind": "busy", "name": f"{turn['self']}.{turn['turn']}"[-60:], "args": {"n": turn["turn"]}}
        ]
    if chance.random() < 0.01 and turn["self"] not in ("a", "b", "c"):
        output["stop"] = [turn["self"]]
    return output


def world(schedule: Schedule, rounds_max: int) -> Plan:
    kinds = [
        kind("busy", start=True, groups=("all",), grants=EVERYTHING, limits=Limits(inbox_bytes_max=400), state="begun"),
        kind("idle", state="never moves"),
    ]
    return plan(
        kinds,
        ["a:busy", "idle:idle", "b:busy", "c:busy"],
        schedule=schedule,
        rounds_max=rounds_max,
        messages=[("all", "go")],
    )


class Played:
    """A run, and the snapshots that were due in it, each with the record of its round."""

    def __init__(self, of: Plan) -> None:
        self.machine = Machine(of)
        self.records: list[RoundRecord] = []
        self.snapshots: list[tuple[Snapshot, RoundRecord]] = []
        while True:
            step = simulate(of, BEHAVIOURS, machine=self.machine, rounds=1)
            for record in step.rounds:
                self.records.append(record)
                if record.state is not None:
                    self.snapshots.append((snapshots.take(self.machine.world), record))
            if step.end is not None:
                return

    def texts(self, snapshot: Snapshot) -> tuple[list[AgentRecord], list[str], list[MessageRecord]]:
        """The agents, states and messages that belong to a snapshot."""
        machine = Machine(self.machine.plan)
        past = [record for record in self.records if record.round <= snapshot.round]
        machine.restore(past)
        spawned = [agent for record in past for agent in record.spawned]
        unread = {seq for _, seqs in snapshot.unread for seq in seqs}
        sent = [message for record in past for message in (*record.inputs, *record.messages)]
        return (
            spawned,
            [agent.state for agent in machine.world.agents],
            [message for message in sent if message.seq in unread],
        )


BEHAVIOURS = {"busy": busy, "idle": busy}
TURNS = {"rounds": 300, "sequential": 2_400}


@pytest.fixture(scope="module", params=["rounds", "sequential"])
def run(request: pytest.FixtureRequest) -> Played:
    schedule: Schedule = request.param
    return Played(world(schedule, TURNS[schedule]))


def test_when_a_snapshot_is_due_never_changes() -> None:
    assert (snapshots.TURNS_MIN, snapshots.TURNS_PER_AGENT) == (1_024, 4)  # heads follow from it


@pytest.mark.parametrize(("turns", "agents", "is_due"), [(5, 1, False), (6, 1, True), (8, 3, False), (9, 3, True)])
def test_a_snapshot_is_due_by_the_larger_bound(
    turns: int, agents: int, is_due: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "TURNS_MIN", 6)
    monkeypatch.setattr(snapshots, "TURNS_PER_AGENT", 3)
    of = WorldState(plan([kind("a")], [f"a-{place}:a" for place in range(agents)]))
    of.turns_since_digest = turns
    assert snapshots.due(of) is is_due


@pytest.mark.parametrize(
    ("seed", "digest"),
    [
        (3, "c7e25b9989008f281567cf7127c18b43093dbb224aceb0d99e65d7fe723ae1aa"),
        (9, "eaf0aaee28bef4d0800a2daea048419738411111968770bd8ce77af45200e355"),
    ],
)
def test_the_digest_of_a_state_never_changes(seed: int, digest: str) -> None:
    run = simulate(chatter_world(seed, "rounds"), {"chatter": chatter}, answer=echo)
    agents = run.machine.world.agents
    assert any(agent.wake_at for agent in agents)
    assert not all(agent.alive for agent in agents)
    assert any(agent.inbox for agent in agents)
    assert snapshots.digest(run.machine.world).hex() == digest  # it is part of heads


def test_snapshots_are_due_by_turns_alone(run: Played) -> None:
    assert len(run.snapshots) >= 2
    since, agents = 0, len(run.machine.plan.agents)
    for record in run.records:
        since += len(record.turns)
        agents += len(record.spawned)
        is_due = since >= max(snapshots.TURNS_MIN, snapshots.TURNS_PER_AGENT * agents)
        assert (record.state is not None) == is_due
        since = 0 if is_due else since


def test_a_run_goes_on_from_a_snapshot_as_from_all_rounds(run: Played) -> None:
    for snapshot, record in run.snapshots:
        machine = Machine(run.machine.plan)
        machine.restore_snapshot(snapshot, record, *run.texts(snapshot))
        later = simulate(run.machine.plan, BEHAVIOURS, machine=machine)
        assert [one.head for one in later.rounds] == [one.head for one in run.records if one.round > record.round]
        assert machine.head == run.machine.head
        assert snapshots.digest(machine.world) == snapshots.digest(run.machine.world)


@pytest.mark.parametrize("changed", [False, True])
def test_a_snapshot_comes_with_its_round_unless_something_was_changed_from_outside(
    changed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "TURNS_MIN", 2)
    monkeypatch.setattr(snapshots, "TURNS_PER_AGENT", 1)
    machine = Machine(plan([kind("a", start=True)]))
    found = []
    for _ in range(3):
        machine.step(OutsideChange(ChangeRecord("state", 0, "given")) if changed and not found else Input("a", "on"))
        (action,) = machine.step(Advance())
        commit = action if isinstance(action, Commit) else machine.step(TurnEnded(0, Completed(TurnOutput("")), 1))[0]
        assert isinstance(commit, Commit)
        found.append((commit.record.state is not None, commit.snapshot is not None))
        machine.step(Input("a", "on"))
    dues = [due for due, _ in found]
    assert dues == [False, True, False] if not changed else any(dues)
    assert [there for _, there in found] == [due and not changed for due in dues]


def test_the_world_of_a_run_has_all_that_a_snapshot_can_hold(run: Played) -> None:
    """Control: a state that has no alarm, mail or stopped agent would prove nothing about them."""
    last = run.snapshots[-1][0]
    assert any(last.wake_at)
    assert last.unread
    assert last.stopped
    assert last.left[1] == 0
    assert len(last.turns) > len(run.machine.plan.agents)


def changes(snapshot: Snapshot) -> dict[str, Snapshot]:
    """Snapshots that are not that of the run, by what is wrong."""
    (place, seqs), *others = snapshot.unread
    stopped = next(at for at in range(len(snapshot.turns)) if at not in snapshot.stopped)
    return {
        "message_seq_next": replace(snapshot, message_seq_next=snapshot.message_seq_next + 1),
        "turns": replace(snapshot, turns=(snapshot.turns[0] + 1, *snapshot.turns[1:])),
        "wake_at": replace(snapshot, wake_at=(*snapshot.wake_at[:-1], snapshot.wake_at[-1] + 1)),
        "stopped": replace(snapshot, stopped=tuple(sorted((*snapshot.stopped, stopped)))),
        "unread": replace(snapshot, unread=((place, seqs[1:]), *others)),
        "round": replace(snapshot, round=snapshot.round + 1),
    }


@pytest.mark.parametrize("what", ["message_seq_next", "turns", "wake_at", "stopped", "unread", "round"])
def test_another_state_does_not_pass_for_that_of_a_round(run: Played, what: str) -> None:
    snapshot, record = run.snapshots[-1]
    texts = run.texts(snapshot)
    forged = changes(snapshot)[what]
    with pytest.raises((DifferenceFound, ValueError)):
        Machine(run.machine.plan).restore_snapshot(forged, record, *texts)


@pytest.mark.parametrize("what", ["spawned", "states", "bodies", "fewer"])
def test_other_texts_do_not_pass_for_those_of_a_run(run: Played, what: str) -> None:
    snapshot, record = run.snapshots[-1]
    spawned, states, messages = run.texts(snapshot)
    if what == "spawned":
        spawned[0] = replace(spawned[0], args='{"n":0}')
    elif what == "states":
        states[0] += " "
    elif what == "bodies":
        messages[0] = replace(messages[0], body=messages[0].body + " ")
    else:
        messages = messages[1:]
    with pytest.raises((DifferenceFound, ValueError)):
        Machine(run.machine.plan).restore_snapshot(snapshot, record, spawned, states, messages)


def test_a_digest_that_a_round_should_not_have_is_noticed(run: Played) -> None:
    from turnwise.core import head

    *past, last = run.records[:5]
    before = past[-1].head
    forged = replace(last, state=b"s" * 32, head=head.linked(before, last.outcome or b"", b"s" * 32))
    machine = Machine(run.machine.plan)
    with pytest.raises(DifferenceFound, match="state after round"):
        machine.restore([*past, forged])


SMALL = plan([kind("a"), kind("b")], ["x:a", "y:b"])
STANDS = Snapshot(4, 3, (2, 1, 0), (3, 0, 0), (0, 6, 0), (1,), ((0, (2,)), (2, (1, 2))))
BORN = AgentRecord(2, "z", "b", "{}", "s", 3, 0, ("b", "a"))
WAITING = [MessageRecord(1, 3, 0, "z", "one", (2,)), MessageRecord(2, 4, None, "all", "two", (0, 1, 2))]


def stood(
    snapshot: Snapshot = STANDS, born: AgentRecord = BORN, states: tuple[str, ...] = ("sx", "sy", "sz")
) -> WorldState:
    of = WorldState(SMALL)
    snapshots.restore(of, snapshot, [born], states, WAITING)
    return of


def test_a_world_stands_as_its_snapshot_says() -> None:
    of = stood()
    assert [(agent.name, agent.turns, agent.left, agent.wake_at, agent.state, agent.alive) for agent in of.agents] == [
        ("x", 2, 3, None, "sx", True),
        ("y", 1, 0, 6, "sy", False),
        ("z", 0, 0, None, "sz", True),
    ]
    assert [[letter.seq for letter in agent.inbox] for agent in of.agents] == [[2], [], [1, 2]]
    assert (of.round, of.message_seq_next) == (4, 3)
    assert snapshots.take(of) == STANDS


def test_mail_that_was_there_before_is_not_there_after() -> None:
    of = WorldState(SMALL)
    of.deliver([MessageRecord(0, 0, None, "x", "before", (0, 1))])
    snapshots.restore(of, STANDS, [BORN], ("sx", "sy", "sz"), WAITING)
    assert snapshots.take(of) == STANDS


@pytest.mark.parametrize(
    ("born", "said"),
    [
        (replace(BORN, kind="c"), "is of a kind that is not there"),
        (replace(BORN, grants=("c",)), "is of a kind that is not there"),
        (replace(BORN, grants=("b", "c")), "is of a kind that is not there"),
        (replace(BORN, place=1), "cannot have place 1"),
        (replace(BORN, place=3), "cannot have place 3"),
        (replace(BORN, name="x"), "cannot have place 2"),
    ],
)
def test_an_agent_that_cannot_have_come_is_refused(born: AgentRecord, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        stood(born=born)


def test_numbers_are_of_all_agents() -> None:
    for name in ("turns", "left", "wake_at"):
        numbers = getattr(STANDS, name)
        for other in (numbers[:-1], (*numbers, 0)):
            with pytest.raises(ValueError, match="it is not of 3 agents"):
                stood(replace(STANDS, **{name: other}))
    for states in (("", ""), ("",) * 4):
        with pytest.raises(ValueError, match="it is not of 3 agents"):
            stood(states=states)
    for changed in ({"stopped": (3,)}, {"unread": ((3, (1,)),)}):
        with pytest.raises(ValueError, match="it names an agent that is not there"):
            stood(replace(STANDS, **changed))  # type: ignore[arg-type]


def test_alarms_mail_and_stops_are_in_the_digest_and_nothing_for_agents_without() -> None:
    digests = set()
    for what in ("nothing", "alarm", "mail", "stop"):
        of = WorldState(SMALL)
        if what == "alarm":
            of.agents[0].wake_at = 5
        elif what == "mail":
            of.deliver([MessageRecord(0, 0, None, "x", "hello", (0,))])
            of.message_seq_next = 0
        elif what == "stop":
            of.agents[0].alive = False
        digests.add(snapshots.digest(of))
    assert len(digests) == 4
    assert (
        snapshots.digest(WorldState(SMALL)).hex() == "dd2d112e05b5c8c0cad1f19e73d5908863df029d511b98762007126349dda8e2"
    )


def test_mail_is_what_somebody_has_not_read() -> None:
    late = replace(STANDS, message_seq_next=2)
    with pytest.raises(ValueError, match="message 2 does not wait for those that it names"):
        stood(late)
    more = replace(STANDS, message_seq_next=9, unread=((0, (2, 7)), (2, (1, 2))))
    with pytest.raises(ValueError, match="message 7 is not there"):
        stood(more)
    with pytest.raises(ValueError, match="message 1 does not wait"):
        stood(replace(STANDS, unread=((0, (1, 2)), (2, (1, 2)))))


ASKED = QuestionRecord(4, 0, "ask", '{"effect":"ask","question":"well?"}')
WAITS = ParkRecord(0, 3, (2,), 0, (), (ASKED,), ((1, False),), 9, 5, 1)
PUT_REQUEST = '{"bytes":5,"effect":"put","sha256":"' + "ab" * 32 + '"}'
PUT_REPLY = '{"ok":{"handle":"h-5"}}'
PUTS = [(2, 1, 0, PUT_REQUEST, PUT_REPLY), (3, 1, 1, PUT_REQUEST, '{"error":{"kind":"refused"}}')]


def test_what_waits_was_put_and_was_asked_is_in_the_digest_where_there_is_any() -> None:
    of = WorldState(SMALL)
    nobody = text_digest("")
    lines = ["state 0 0 2", bytes(32).hex(), f"0 {nobody}", f"0 {nobody}"]

    def hashed() -> bytes:
        return sha256(("\n".join(lines) + "\n").encode()).digest()

    assert snapshots.digest(of) == hashed()
    of.agents[1].parked = Parked(replace(WAITS, place=1), 1)
    lines[3] += f" waits {of.agents[1].parked.digest()}"
    assert snapshots.digest(of) == hashed()
    for put in PUTS:
        of.put(*put)
    chain = b""
    for round_, place, index, request, reply in PUTS:
        line = f"{round_} {place} {index} {text_digest(request)} {text_digest(reply)}"
        chain = sha256(chain + line.encode()).digest()
    lines.append(f"contents {chain.hex()}")
    assert snapshots.digest(of) == hashed()
    of.question_next = 2
    lines.append("asked 2")
    assert snapshots.digest(of) == hashed()


def test_a_world_stands_with_what_waits_and_was_put() -> None:
    assert (STANDS.question_next, STANDS.waiting) == (1, ())
    stands = replace(STANDS, question_next=7, waiting=((0, 4),))
    of = WorldState(SMALL)
    snapshots.restore(of, stands, [BORN], ("sx", "sy", "sz"), WAITING, [(4, WAITS)], PUTS)
    assert snapshots.take(of) == stands
    assert of.asked == {4: 0}
    assert of.contents == {"h-5": Kept("ab" * 32, 5, 2, 1, 0)}
    assert of.contents_bytes == 1_024
    assert of.is_asked(4, 9)
    answered = WorldState(SMALL)
    answer = AnswerRecord(4, answer_reply("yes"))
    snapshots.restore(answered, stands, [BORN], ("sx", "sy", "sz"), WAITING, [(3, WAITS), (4, answer), (4, answer)])
    assert answered.asked == {}
    assert answered.agents[0].due_at == 4
    with pytest.raises(ValueError, match="no part of it"):
        snapshots.restore(WorldState(SMALL), stands, [BORN], ("",) * 3, WAITING, [(4, replace(WAITS, calls=()))])
