"""Agents that do what no agent should. Whoever finds another kind adds it here."""

from __future__ import annotations

import json
from typing import Any

from tests.guests import SPINS, constant, sender
from turnwise import Agent, Grants


def _module(body: str, memory: int = 4, alloc: str = "(i32.const 65536)") -> str:
    """A core module whose turn is `body`."""
    return f"""(module
      (memory (export "memory") {memory})
      (func (export "turnwise_alloc") (param $size i32) (result i32) {alloc})
      (func $deep (export "turnwise_turn") (param $at i32) (param $len i32) (result i64) {body}))"""


def _returns(text: bytes) -> str:
    """A core module that returns these bytes."""
    escaped = "\\" + text.hex("\\") if text else ""  # some are megabytes
    return f"""(module
      (memory (export "memory") {len(text) // 65536 + 4})
      (data (i32.const 16) "{escaped}")
      (func (export "turnwise_alloc") (param $size i32) (result i32)
        (i32.const {(len(text) // 65536 + 1) * 65536}))
      (func (export "turnwise_turn") (param $at i32) (param $len i32) (result i64)
        (i64.or (i64.shl (i64.const 16) (i64.const 32)) (i64.const {len(text)}))))"""


def _python(*lines: str, **options: Any) -> Agent:
    source = "\n".join(["def turn(t):", *[f"    {line}" for line in lines], ""])
    return Agent(source, groups=["hostile"], start=True, fuel=options.pop("fuel", 100_000_000), **options)


def _wasm(source: str, **options: Any) -> Agent:
    return Agent(source, groups=["hostile"], start=True, fuel=options.pop("fuel", 5_000_000), **options)


_GARBAGE: dict[str, bytes] = {
    "no-utf8": b"\xff\xfe",
    "no-json": b"{'state': ''}",
    "nothing": b"",
    "deep": b'{"state":"","finish":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "hidden-depth": b'{"state":"","finish":{"a":' + b"[" * 900 + b"]" * 900 + b',"a":1}}',
    "digits": b'{"state":"","finish":' + b"7" * 100_000 + b"}",
    "not-a-number": b'{"state":"","finish":NaN}',
    "infinite": b'{"state":"","finish":1e999}',
    "half-a-pair": b'{"state":"\\ud800"}',
    "unknown": b'{"state":"","head":"00"}',
    "too-large": b'{"state":"' + b"x" * 1_100_000 + b'"}',
    "large-state": b'{"state":"' + b"\\u0001" * 180_000 + b'"}',
    "deliveries": b'{"state":"","send":[' + b",".join([b'{"to":"hostile","body":""}'] * 20_000) + b"]}",
    "strangers": b'{"state":"","send":[' + b",".join(b'{"to":"n%d","body":""}' % n for n in range(20_000)) + b"]}",
}

HOSTILE: dict[str, Agent] = {
    # time, memory and stack of WebAssembly
    "spins": _wasm(SPINS),
    "grows-by-nothing": _wasm(_module("(loop $l (drop (memory.grow (i32.const 0))) (br $l)) (unreachable)")),
    "grows": _wasm(_module("(loop $l (br_if $l (i32.ne (memory.grow (i32.const 64)) (i32.const -1)))) (unreachable)")),
    "recurses": _wasm(_module("(call $deep (local.get $at) (local.get $len))")),
    "traps": _wasm(_module("(unreachable)")),
    # pointers
    "points-outside": _wasm(_module("(i64.const -1)")),
    "points-at-the-end": _wasm(_module("(i64.or (i64.shl (i64.const 262143) (i64.const 32)) (i64.const 2))")),
    "has-no-memory": _wasm(_module("(i64.const 0)", alloc="(i32.const 0)")),
    "allocates-outside": _wasm(_module("(i64.const 0)", alloc="(i32.const -8)")),
    # what is returned
    **{f"returns-{name}": _wasm(_returns(text), output_mib=1, state_mib=1) for name, text in _GARBAGE.items()},
    # what is not granted
    "sends-to-all": Agent(constant({"state": "", "send": [{"to": "honest", "body": "x"}]}), start=True),
    "stops-all": Agent(constant({"state": "", "stop": ["honest", "honest-1"]}), start=True),
    "spawns": Agent(constant({"state": "", "spawn": [{"kind": "honest", "name": "honest-9"}]}), start=True),
    "finishes": Agent(constant({"state": "", "finish": "mine"}), start=True, groups=["hostile"]),
    "finishes-badly": _wasm(constant({"state": "", "wake_in": 2**31})),
    # sums
    "floods": Agent(
        sender("hostile-hub", 900_000), count=4, start=True, groups=["hostile"], grants=Grants(send=["hostile-hub"])
    ),
    "hostile-hub": Agent(constant({"state": ""}), inbox_mib=1, groups=["hostile"]),
    "multiplies": _wasm(
        constant({"state": "", "spawn": [{"kind": "multiplies", "name": f"m{n}"} for n in range(400)]}),
        grants=Grants(spawn=["multiplies"]),
    ),
    # Python
    "loops": _python("while True: pass"),
    "eats-memory": _python("x = [bytearray(1 << 20) for _ in range(1000)]"),
    "recurses-in-python": _python("turn(t)"),
    "exits": _python("import sys; sys.exit(0)"),
    "prints": _python("for _ in range(20000): print('x' * 100)"),
    "asks-the-world": _python("open('/etc/passwd').read()"),
    "asks-for-effects": _python("[t.generate('none', str(n)) for n in range(100)]"),
    "long-integers": _python("t.state['x'] = 10 ** 4000"),
    "reads-deep-mail": _python(
        "t.send('reads-deep-mail', '[' * 5000)",
        "[message.json() for message in t.inbox]",
        grants=Grants(send=["reads-deep-mail"]),
    ),
}
"""Kinds of agents, by name. All that are in the group `hostile` are woken in every round."""

WAKES = constant({"state": "", "wake_in": 1, "send": [{"to": "hostile", "body": json.dumps(["wake"])}]})
"""Makes the others move in every round."""
