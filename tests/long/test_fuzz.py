"""Hostile input without end: `pytest -m fuzz tests/long`. Seconds for each: TURNWISE_FUZZ_SECONDS (default 60).

Whatever is thrown at Turnwise ends in an outcome or in an error for people, never in another exception. A failure
prints its seed, and TURNWISE_FUZZ_SEED repeats it.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from random import Random

import pytest
import wasmtime

import turnwise
from tests.guests import LIVELY, chooser
from tests.orchestrator.worlds import lively
from tests.sandbox.conftest import WAYS
from tests.sandbox.execute.test_c_module import asks
from tests.sandbox.execute.test_pooling import clean, dirty
from turnwise import TurnwiseError
from turnwise.core.envelope import decode_needs, decode_output
from turnwise.core.turn import Completed, Failed, Needs
from turnwise.sandbox.build.code import Code, CodeError, Source, prepare_each
from turnwise.sandbox.build.contract import ContractError, check_module
from turnwise.sandbox.execute.engine import make_engine, on_guest_stack
from turnwise.sandbox.execute.execution import Execution
from turnwise.sandbox.execute.modules import Carrier, ModuleLoader

pytestmark = [pytest.mark.fuzz, pytest.mark.timeout(3600)]


def rounds() -> Iterator[tuple[int, Random]]:
    """Seeds with their random numbers, until the time is over."""
    deadline = time.monotonic() + float(os.environ.get("TURNWISE_FUZZ_SECONDS", "60"))
    first = os.environ.get("TURNWISE_FUZZ_SEED")
    for seed in count(int(first or "1")):
        print(f"TURNWISE_FUZZ_SEED={seed}", flush=True)
        yield seed, Random(seed)
        if first or time.monotonic() > deadline:
            return


def mutated(data: bytes, chance: Random) -> bytes:
    """Bytes changed, cut, doubled or inserted at a few places."""
    out = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 4, 16])):
        at = chance.randrange(len(out) + 1) if out else 0
        match chance.randrange(5):
            case 0 if out:
                out[at % len(out)] ^= 1 << chance.randrange(8)
            case 1:
                out[at:at] = chance.randbytes(chance.randrange(1, 9))
            case 2:
                del out[at : at + chance.choice([1, 2, 8, 64])]
            case 3:
                out[at:at] = out[at : at + chance.randrange(1, 64)]
            case _:
                out[at : at + 1] = bytes([chance.choice([0, 0xFF, 0x80, 0x7F, 0x22, 0x5B, 0x7B])])
    return bytes(out)


def test_envelopes() -> None:
    seeds = [
        b'{"state":"s","send":[{"to":"a","body":"b"}],"log":[{"level":"info","text":"t"}],"wake_in":2,"stop":["x"]}',
        b'{"state":"","record":[{"name":"p","value":3.5}],"spawn":[{"kind":"k","name":"n","args":{}}],"finish":[1]}',
        b'{"effects":[{"effect":"generate","model":"m","prompt":"p","tokens_max":4}]}',
        b'{"error":"no"}',
    ]
    for _, chance in rounds():
        for _ in range(2000):
            text = mutated(chance.choice(seeds), chance)
            assert isinstance(decode_output(text), Completed | Failed)
            assert isinstance(decode_needs(text), Needs | Failed)


def test_modules() -> None:
    wat = chooser(LIVELY)
    binary = bytes(wasmtime.wat2wasm(wat))
    for seed, chance in rounds():
        sources = []
        for number in range(20):
            if chance.random() < 0.5:
                sources.append(Source(f"{seed}-{number}", "wasm", {"a.wasm": mutated(binary, chance)}, "a.wasm"))
            else:
                sources.append(Source(f"{seed}-{number}", "wat", {"a.wat": mutated(wat.encode(), chance)}, "a.wat"))
        for found in asyncio.run(prepare_each(sources)):
            assert isinstance(found, Code | CodeError)


def test_modules_in_whole_runs(tmp_path: Path) -> None:
    binary = bytes(wasmtime.wat2wasm(chooser(LIVELY)))
    for seed, chance in rounds():
        path = tmp_path / f"{seed}.journal"
        agents = {
            f"a{n}": turnwise.Agent(mutated(binary, chance), start=True, fuel=10_000_000, output_mib=1)
            for n in range(3)
        }
        world = turnwise.World(name="fuzz", seed=seed, rounds_max=3, agents=agents)
        try:
            with turnwise.run(world, journal=path, workers=2) as run:
                assert run.status in ("quiet", "rounds_max")
            assert turnwise.replay(path).difference is None
        except TurnwiseError as error:
            assert not isinstance(error, turnwise.InvariantError | turnwise.EnvironmentFailure), error
        path.unlink(missing_ok=True)


def mutated_behind_types(binary: bytes, chance: Random) -> bytes:
    """A module with the types that it has, since the engine's interface ends the process where it meets a vector."""
    assert binary[8] == 1
    size, at = 0, 9
    for shift in (0, 7, 14):
        size |= (binary[at] & 0x7F) << shift
        at += 1
        if binary[at - 1] < 0x80:
            break
    return binary[: at + size] + mutated(binary[at + size :], chance)


def test_modules_in_every_way(tmp_path: Path) -> None:
    """Mutated guests end alike in every way of executing modules, and leave nothing in the slot for the next."""
    engine = make_engine()
    path = tmp_path / "module"

    def loaded(loader: ModuleLoader, code: bytes) -> Carrier:
        path.unlink(missing_ok=True)
        path.write_bytes(code)
        return loader.load(str(path))

    looking = wasmtime.Module(engine, clean(pages=17, grow=3)).serialize()
    ways = [
        (loader, loaded(loader, looking)) for loader in (ModuleLoader(engine, switches) for switches in WAYS.values())
    ]
    seeds = [bytes(wasmtime.wat2wasm(wat)) for wat in (chooser(LIVELY), asks(), dirty("traps", pages=2, grow=9))]
    endings: Counter[str] = Counter()
    for _, chance in rounds():
        for _ in range(20):
            try:
                module = wasmtime.Module(engine, mutated_behind_types(chance.choice(seeds), chance))
                check_module(module)
            except (wasmtime.WasmtimeError, ContractError):
                continue
            code = module.serialize()
            replies = (b"reply",) * chance.randrange(3)
            fuel = chance.choice([0, 300, 1_000_000])
            found = []
            for loader, look in ways:
                carrier = loaded(loader, code)
                execution = Execution(b'{"seed":"1f"}', replies, fuel, 64 << 20, 100_000)
                found.append((*on_guest_stack(partial(carrier.execute, execution)), execution.calls))
                assert look.execute(Execution(b"", (), 40_000_000, 64 << 20, 1_000))[0].body == b"\0"
            assert all(one == found[0] for one in found), found
            endings[f"{found[0][0].status} {found[0][0].failure or ''}".strip()] += 1
    print(dict(endings))
    assert len(endings) > 3


def read_everything(path: Path) -> None:
    with turnwise.open(path) as run:
        for rows in (run.rounds, run.turns, run.messages, run.records, run.agents, run.failures):
            for _ in rows:
                continue
        assert run.head
        assert run.status
    turnwise.replay(path, workers=1)


def resume(path: Path) -> None:
    with turnwise.resume(path, workers=1).result():
        return


@pytest.mark.parametrize("read", [read_everything, resume])
def test_journals(read: Callable[[Path], None], tmp_path: Path) -> None:
    original = tmp_path / "original.journal"
    with lively(rounds_max=4).start(journal=original, workers=1) as live:
        live.step()
        live.step()
    data = original.read_bytes()
    for seed, chance in rounds():
        path = tmp_path / f"{seed}.journal"
        path.write_bytes(mutated(data, chance))
        try:
            read(path)
        except TurnwiseError as error:
            assert not isinstance(error, turnwise.InvariantError), error
        for left in tmp_path.glob(f"{seed}.journal*"):
            left.unlink()


def test_world_files(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "examples" / "market" / "world.toml").read_bytes()
    (tmp_path / "traders.csv").write_text("name,side,limit\na,buy,3\n")
    for name in ("market.py", "trader.py"):
        (tmp_path / name).write_text("def turn(t): pass\n")
    for _, chance in rounds():
        for _ in range(50):
            (tmp_path / "world.toml").write_bytes(mutated(text, chance))
            try:
                turnwise.World.read(tmp_path)
            except turnwise.UsageError as error:
                assert str(error)
