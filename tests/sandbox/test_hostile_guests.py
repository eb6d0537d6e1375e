"""Hostile guests: each fails with its own class, and honest agents beside them do what they do without them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import turnwise
from tests.orchestrator.test_failures import CASES, python
from turnwise import Agent, Grants, InitialMessage
from turnwise.core.turn import FailureClass

ROUNDS = 4
FUEL = 20_000_000
"""What guests without an end have; an honest turn in Python takes a twentieth of it."""


def module(turn: str, parts: str = "", memory: str = '(memory (export "memory") 1)') -> str:
    return f"""
(module
  {memory}
  {parts}
  (func (export "turnwise_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "turnwise_turn") (param $p i32) (param $n i32) (result i64) (local $i i32)
    {turn}
    (unreachable)))
"""


def forever(body: str, parts: str = "", **options: str) -> str:
    return module(f"(loop $again {body} (br $again))", parts, **options)


def javascript(turn: str) -> str:
    return f"export function turn(t) {{\n  {turn}\n}}\n"


BY_FUEL = {
    "grows nothing": forever("(drop (memory.grow (i32.const 0)))"),
    "grows in vain": forever("(drop (memory.grow (i32.const -1)))"),
    "grows all": forever("(drop (memory.grow (i32.const 1)))"),
    "copies nothing": forever("(memory.copy (i32.const 0) (i32.const 0) (i32.const 0))"),
    "initialises memory": forever("(memory.init $d (i32.const 0) (i32.const 0) (i32.const 8))", '(data $d "abcdefgh")'),
    "drops data": forever("(data.drop $d)", '(data $d "abcdefgh")'),
    "fills nothing": forever("(memory.fill (i32.const 0) (i32.const 0) (i32.const 0))"),
    "fills much": forever("(memory.fill (i32.const 0) (i32.const 7) (i32.const 65536))"),
    "copies much": forever("(memory.copy (i32.const 0) (i32.const 1) (i32.const 65535))"),
    "grows a table": forever("(drop (table.grow (ref.null func) (i32.const 1)))", "(table 1 funcref)"),
    "grows a table by nothing": forever("(drop (table.grow (ref.null func) (i32.const 0)))", "(table 1 funcref)"),
    "grows a table in vain": forever("(drop (table.grow (ref.null func) (i32.const -1)))", "(table 1 funcref)"),
    "reads and writes a table": forever("(table.set (i32.const 0) (table.get (i32.const 0)))", "(table 1 funcref)"),
    "writes functions into a table": forever(
        "(table.set (i32.const 0) (ref.func $f))", "(table 1 funcref) (func $f) (elem declare func $f)"
    ),
    "initialises a table": forever(
        "(table.init $e (i32.const 0) (i32.const 0) (i32.const 1))", "(table 1 funcref) (func $f) (elem $e func $f)"
    ),
    "copies nothing of a table": forever("(table.copy (i32.const 0) (i32.const 0) (i32.const 0))", "(table 1 funcref)"),
    "fills nothing of a table": forever(
        "(table.fill (i32.const 0) (ref.null func) (i32.const 0))", "(table 1 funcref)"
    ),
    "fills a table": forever(
        "(table.fill (i32.const 0) (ref.null func) (i32.const 60000))", "(table 60000 65536 funcref)"
    ),
    "copies a table": forever(
        "(table.copy (i32.const 0) (i32.const 1) (i32.const 59999))", "(table 60000 65536 funcref)"
    ),
    "names functions": forever("(drop (ref.func $f))", "(func $f) (elem declare func $f)"),
    "drops segments": forever("(elem.drop $e)", "(func $f) (elem $e func $f)"),
    "walks through memory": forever(
        "(local.set $i (i32.load (i32.and (i32.mul (local.get $i) (i32.const 1664525)) (i32.const 0x3ffffc0))))"
        "(local.set $i (i32.add (local.get $i) (i32.const 1013904223)))",
        memory='(memory (export "memory") 1024)',
    ),
    "calls itself": forever("(call $f)", "(func $f (param) (result))"),
    "starts for ever": module("", "(start $s) (func $s (loop (br 0)))"),
    "allocates for ever": """(module (memory (export "memory") 1)
        (func (export "turnwise_alloc") (param i32) (result i32) (loop (br 0)) (unreachable))
        (func (export "turnwise_turn") (param i32 i32) (result i64) (i64.const 0)))""",
    "reads the clock": python("import time\nwhile True: time.time()"),
    "draws": python("import os\nwhile True: os.urandom(1000)"),
    "prints": python("while True: print('x' * 1000)"),
    "sleeps": python("import time\nwhile True: time.sleep(10**6)"),
    "loops in JavaScript": javascript("for (;;);"),
    "reads the clock in JavaScript": javascript("for (;;) Date.now()"),
    "matches in JavaScript": javascript("/(a+)+b/.test('a'.repeat(40))"),
    "promises in JavaScript": javascript("const f = () => Promise.resolve().then(f); f()"),
    "counts": python("n = 7\nwhile True: n = n * n % 10**4000"),
    "sorts": python("while True: sorted(range(10**5, 0, -1))"),
}
"""Guests without an end: what each of them meets is its fuel."""

OTHERS: dict[str, tuple[str, FailureClass]] = {
    "points nowhere": (module("(return (i64.const -1))"), FailureClass.OUTPUT_SIZE),
    "points beyond": (module("(return (i64.const 0x00010000_00000001))"), FailureClass.TRAP),
    "begins too large": (module("", memory='(memory (export "memory") 60000)'), FailureClass.MEMORY),
    "begins with a large table": (module("", "(table 1000000 funcref)"), FailureClass.MEMORY),
    "recurses in JavaScript": (javascript("const f = () => f(); f()"), FailureClass.RAISED),
    "takes memory in JavaScript": (
        javascript("const a = []; for (;;) a.push(new Uint8Array(1 << 20))"),
        FailureClass.RAISED,
    ),
    "traps at its start": (module("", "(start $s) (func $s unreachable)"), FailureClass.TRAP),
}

HONEST = {
    "ann": Agent(
        python(
            "t.state['turns'] = t.turn\n"
            "t.state['drawn'] = t.random.random()\n"
            "for message in t.inbox: t.record('heard', message.body)\n"
            "t.send('bob', f'{t.turn} {t.random.random()}')\n"
            "t.wake_in(1)"
        ),
        start=True,
        grants=Grants(send=["bob"]),
    ),
    "bob": Agent(
        python("for message in t.inbox: t.send(message.sender, message.body[::-1])\nt.state['heard'] = len(t.inbox)"),
        grants=Grants(send=["ann"]),
    ),
}


def world_of(agents: dict[str, Agent]) -> turnwise.World:
    messages = [InitialMessage("ann", "begin")]
    return turnwise.World("w", seed=11, rounds_max=ROUNDS, agents=agents, messages=messages)


def outcomes(run: Any) -> list[Any]:
    """What honest agents did, without what depends on others' being there: places and numbers of messages."""
    return [
        (turn.round, turn.agent, turn.turn, len(turn.inbox), turn.output, turn.failure, turn.stdout, turn.fuel)
        for turn in run.turns
        if turn.agent in HONEST
    ]


def test_honest_agents_do_what_they_do_in_a_world_without_hostile_ones(tmp_path: Path) -> None:
    hostile = {name: (source, FailureClass.FUEL) for name, source in BY_FUEL.items()}
    hostile |= {name: (source, kind) for name, (source, kind, _) in CASES.items()} | OTHERS
    names = {f"hostile-{number}": name for number, name in enumerate(hostile)}
    bad = {
        agent: Agent(
            hostile[name][0],
            start=True,
            fuel=FUEL if name in BY_FUEL else 1_000_000_000,
            output_mib=1,
            effects_max=8,
        )
        for agent, name in names.items()
    }
    with turnwise.run(world_of(HONEST), journal=tmp_path / "alone.journal", workers=1) as run:
        alone = outcomes(run)
        assert len(alone) > ROUNDS
        assert {failure for *_, failure, _, _ in alone} == {None}
    path = tmp_path / "beside.journal"
    with turnwise.run(world_of({**bad, **HONEST}), journal=path, workers=2) as run:
        assert run.status == "rounds_max"
        assert outcomes(run) == alone
        found = {names[turn.agent]: turn.failure for turn in run.failures}
        for name, (_, kind) in hostile.items():
            failure = found[name]
            assert failure is not None, name
            assert failure.kind == kind, (name, failure)
        assert len(found) == len(hostile) == len(BY_FUEL) + len(OTHERS) + len(CASES)
    assert turnwise.replay(path).difference is None


def test_the_page_on_reliability_counts_them() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text(encoding="utf-8")
    others = len(OTHERS) + len(CASES)
    assert f"| {len(BY_FUEL) + others} agents: {len(BY_FUEL)} that never end" in page
    assert f" {others} others |" in page
