"""Rounds of agents in Turnwise: each turn in a fresh sandbox, each round durable. See `bench_peers.py`.

The agents are core modules that count their turns in their state, as those of the others do in theirs.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import turnwise

COUNTER = """
(module
  (memory (export "memory") 1)
  (data (i32.const 16) "{\\22state\\22:\\22")
  (data (i32.const 64) "\\22,\\22wake_in\\22:1}")
  (func (export "turnwise_alloc") (param i32) (result i32) (i32.const 1024))
  ;; The state is a text of one letter a turn, at most eight: found behind "state":" in the input.
  (func (export "turnwise_turn") (param $p i32) (param $n i32) (result i64)
    (local $at i32) (local $to i32) (local $end i32)
    (local.set $end (i32.add (local.get $p) (local.get $n)))
    (local.set $at (local.get $p))
    (block $found (loop $search                                ;; "state":" ends with te":"
      (br_if $found (i32.and
        (i32.eq (i32.load (local.get $at)) (i32.const 0x3a226574))
        (i32.eq (i32.load8_u offset=4 (local.get $at)) (i32.const 0x22))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $search (i32.lt_u (local.get $at) (local.get $end)))
      (unreachable)))
    (local.set $at (i32.add (local.get $at) (i32.const 5)))
    (local.set $to (i32.const 26))
    (block $copied (loop $copy
      (br_if $copied (i32.eq (i32.load8_u (local.get $at)) (i32.const 0x22)))
      (br_if $copied (i32.ge_u (local.get $to) (i32.const 33)))
      (i32.store8 (local.get $to) (i32.load8_u (local.get $at)))
      (local.set $to (i32.add (local.get $to) (i32.const 1)))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br $copy)))
    (i32.store8 (local.get $to) (i32.const 0x78))
    (local.set $to (i32.add (local.get $to) (i32.const 1)))
    (memory.copy (local.get $to) (i32.const 64) (i32.const 14))
    (i64.or (i64.shl (i64.const 16) (i64.const 32))
      (i64.extend_i32_u (i32.sub (i32.add (local.get $to) (i32.const 14)) (i32.const 16))))))
"""


def main(agents: int, seconds: float, workers: int) -> None:
    world = turnwise.World(
        name="rounds", rounds_max=10**6, agents={"counter": turnwise.Agent(COUNTER, count=agents, start=True)}
    )
    with tempfile.TemporaryDirectory() as folder:
        with turnwise.start(world, workers=workers, journal=Path(folder, "rounds.journal")) as live:
            for _ in range(3):
                live.step()
            start = time.perf_counter()
            live.play()
            live.wait(seconds)
            live.stop()
            live.wait()
            elapsed = time.perf_counter() - start
            rounds = live.progress().round - 3
        with turnwise.open(live.journal) as run:
            assert (len(run.turns), len(run.failures)) == ((rounds + 3) * agents, 0)
            assert run.state("counter-1", 3) == "xxx"
    print(json.dumps({"rounds": rounds, "seconds": elapsed}))


main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
