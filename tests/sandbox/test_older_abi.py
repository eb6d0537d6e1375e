"""Modules and components that were made for an earlier version of the ABI, and lie here as they were made.

`keeper` and `guesser` are the game of `turnwise new --lang c`; `ticks` is a component that records a number in
every round. A later version of the ABI adds to them and takes nothing away, so that what was built once runs for good.

    python -m tests.sandbox.test_older_abi VERSION

writes those of a new version, and is run before it is released; what lies here already is never written again.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import wasmtime

import turnwise
from turnwise import Agent, Grants, InitialMessage
from turnwise.cli.commands.new import COMPILE
from turnwise.world.template import create_world

STORED = Path(__file__).resolve().parents[1] / "data" / "abi"
VERSIONS = sorted({path.stem.rpartition("-")[2] for path in STORED.iterdir()})

TICKS = """(component
  (import "effect" (func $effect (param "request" string) (result string)))
  (core module $libc
    (memory (export "memory") 1)
    (global $top (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32 i32) (param $size i32) (result i32) (local $at i32)
      (local.set $at (global.get $top))
      (global.set $top (i32.add (local.get $at) (local.get $size)))
      (local.get $at)))
  (core instance $libc (instantiate $libc))
  (alias core export $libc "memory" (core memory $memory))
  (alias core export $libc "realloc" (core func $realloc))
  (core func $effect (canon lower (func $effect) (memory $memory) (realloc $realloc)))
  (core module $main
    (import "host" "memory" (memory 0))
    (import "host" "effect" (func $effect (param i32 i32 i32)))
    (data (i32.const 64) "{\\22state\\22:\\22\\22,\\22wake_in\\22:1,")
    (data (i32.const 88) "\\22record\\22:[{\\22name\\22:\\22n\\22,\\22value\\22:1}]}")
    (func (export "turn") (param i32 i32) (result i32)
      (i32.store (i32.const 16) (i32.const 64))
      (i32.store (i32.const 20) (i32.const 58))
      (i32.const 16)))
  (core instance $main (instantiate $main (with "host" (instance
    (export "memory" (memory $memory)) (export "effect" (func $effect))))))
  (alias core export $main "turn" (core func $turn))
  (func (export "turn") (param "input" string) (result string)
    (canon lift (core func $turn) (memory $memory) (realloc $realloc))))"""


def test_the_first_version_is_there() -> None:
    assert "0.1.0" in VERSIONS
    assert {path.name for path in STORED.glob("*-0.1.0.wasm")} == {
        "ticks-0.1.0.wasm",
        "guesser-0.1.0.wasm",
        "keeper-0.1.0.wasm",
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_modules_of_an_earlier_version_play_their_game(version: str, tmp_path: Path) -> None:
    world = turnwise.World(
        "guessing",
        seed=1,
        rounds_max=100,
        agents={
            "keeper": Agent(
                (STORED / f"keeper-{version}.wasm").read_bytes(),
                args={"highest": 1000},
                grants=Grants(send=["guesser"]),
            ),
            "guesser": Agent(
                (STORED / f"guesser-{version}.wasm").read_bytes(),
                state={"guesses": 0},
                grants=Grants(send=["keeper"], finish=True),
            ),
        },
        messages=[InitialMessage("keeper", "begin")],
    )
    with turnwise.run(world, journal=tmp_path / "a.journal", workers=1) as run:
        assert (run.status, run.result) == ("finished", {"number": 330, "guesses": 10})
        assert len(run.failures) == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_components_of_an_earlier_version_run(version: str, tmp_path: Path) -> None:
    agent = Agent((STORED / f"ticks-{version}.wasm").read_bytes(), start=True)
    world = turnwise.World("w", rounds_max=3, agents={"ticks": agent})
    with turnwise.run(world, journal=tmp_path / "a.journal", workers=1) as run:
        assert [(record.round, record.name, record.value) for record in run.records] == [(n, "n", 1) for n in (1, 2, 3)]
        assert len(run.failures) == 0


def write(version: str, folder: Path) -> None:
    """Compile those of a version."""
    create_world(folder, language="c")
    for line in COMPILE:
        subprocess.run([sys.executable, *line.split()[1:]], cwd=folder, check=True)
    for name, content in [(agent, (folder / f"{agent}.wasm").read_bytes()) for agent in ("keeper", "guesser")] + [
        ("ticks", bytes(wasmtime.wat2wasm(TICKS)))
    ]:
        with (STORED / f"{name}-{version}.wasm").open("xb") as file:
            file.write(content)


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as temporary:
        write(sys.argv[1], Path(temporary) / "game")
