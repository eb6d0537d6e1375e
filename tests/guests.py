"""Guests for tests, as WebAssembly text: small core modules whose outputs are written out."""

from __future__ import annotations

import json
from collections.abc import Sequence

OUTPUT_AT = 4096
"""Where outputs begin in the guest's memory; inputs are placed behind them."""


def _escaped(data: bytes) -> str:
    return "\\" + data.hex("\\") if data else ""


def chooser(outputs: Sequence[object]) -> str:
    """A core module that returns one of `outputs` (JSON values), chosen by the first digits of the turn's seed.

    It looks for `"seed":"` in its input and takes the two hex digits behind it, modulo the number of outputs: so
    what it does depends on the run's seed, the agent's name and its count of turns, and on nothing else.
    """
    texts = [json.dumps(output, separators=(",", ":")).encode() for output in outputs]
    at, table, data = OUTPUT_AT, b"", b""
    for text in texts:
        table += at.to_bytes(4, "little") + len(text).to_bytes(4, "little")
        data += text
        at += len(text)
    needle = b'"seed":"'
    heap = (at + 65_535) // 65_536 * 65_536
    return f"""
(module
  (memory (export "memory") {heap // 65_536 + 4})
  (global $heap (mut i32) (i32.const {heap}))
  (data (i32.const 0) "{_escaped(table)}")
  (data (i32.const 2048) "{_escaped(needle)}")
  (data (i32.const {OUTPUT_AT}) "{_escaped(data)}")
  (func (export "turnwise_alloc") (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $heap))
    (global.set $heap (i32.add (global.get $heap) (local.get $size)))
    (block $enough
      (br_if $enough (i32.le_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536))))
      (drop (memory.grow (i32.add (i32.div_u (local.get $size) (i32.const 65536)) (i32.const 1)))))
    (local.get $at))
  (func $digit (param $c i32) (result i32)
    (if (result i32) (i32.ge_u (local.get $c) (i32.const 97))
      (then (i32.sub (local.get $c) (i32.const 87)))
      (else (i32.sub (local.get $c) (i32.const 48)))))
  (func (export "turnwise_turn") (param $at i32) (param $len i32) (result i64)
    (local $end i32) (local $i i32) (local $row i32)
    (local.set $end (i32.sub (i32.add (local.get $at) (local.get $len)) (i32.const 10)))
    (block $found
      (loop $next
        (br_if $found (i64.eq (i64.load (local.get $at)) (i64.load (i32.const 2048))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br_if $next (i32.lt_u (local.get $at) (local.get $end))))
      (unreachable))
    (local.set $i (i32.rem_u
      (i32.add
        (i32.mul (call $digit (i32.load8_u offset=8 (local.get $at))) (i32.const 16))
        (call $digit (i32.load8_u offset=9 (local.get $at))))
      (i32.const {len(texts)})))
    (local.set $row (i32.mul (local.get $i) (i32.const 8)))
    (i64.or
      (i64.shl (i64.extend_i32_u (i32.load (local.get $row))) (i64.const 32))
      (i64.extend_i32_u (i32.load offset=4 (local.get $row))))))
"""


def constant(output: object) -> str:
    """A core module that always returns the same."""
    return chooser([output])


SPINS = """
(module
  (memory (export "memory") 1)
  (func (export "turnwise_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "turnwise_turn") (param i32 i32) (result i64) (loop $forever (br $forever)) (unreachable)))
"""
"""A core module that never comes to an end."""

LIVELY = [
    {"state": "a", "send": [{"to": "all", "body": "hello"}]},
    {"state": "b", "wake_in": 1},
    {"state": "c", "wake_in": 2, "record": [{"name": "mood", "value": 0.5}]},
    {"state": "", "send": [{"to": "hub", "body": "x" * 600}], "log": [{"level": "info", "text": "here"}]},
    {"state": "d", "spawn": [{"kind": "lively", "name": "child"}], "wake_in": 3},
    {"error": "I do not want to"},
    {"state": "e", "send": [{"to": "nobody-7", "body": ""}], "wake_in": 1},
    {"state": "f", "stop": ["lively-2"], "send": [{"to": "all", "body": "bye"}]},
    {"state": "g", "send": [{"to": "all", "body": "again"}], "wake_in": 1},
]
"""Outputs that send, sleep, record, spawn, stop and fail."""


def sender(to: str, size: int) -> str:
    """A core module that sends `size` characters to `to`."""
    before = f'{{"state":"","send":[{{"to":"{to}","body":"'.encode()
    after = b'"}]}'
    length = len(before) + size + len(after)
    return f"""(module
  (memory (export "memory") {(16 + length) // 65536 + 3})
  (data (i32.const 16) "{_escaped(before)}")
  (data (i32.const {16 + len(before) + size}) "{_escaped(after)}")
  (func (export "turnwise_alloc") (param $size i32) (result i32) (i32.const {(16 + length) // 65536 * 65536 + 65536}))
  (func (export "turnwise_turn") (param $ptr i32) (param $len i32) (result i64)
    (memory.fill (i32.const {16 + len(before)}) (i32.const 120) (i32.const {size}))
    (i64.or (i64.shl (i64.const 16) (i64.const 32)) (i64.const {length}))))"""
