"""From sources to code, through real builders: what is made, what is refused, and what the cache saves."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import wasmtime

from turnwise.errors import EnvironmentFailure
from turnwise.sandbox.build import artefacts, builder_process, code
from turnwise.sandbox.build.cache import Cache
from turnwise.sandbox.build.code import Code, CodeError, Source, prepare, prepare_each
from turnwise.sandbox.execute.engine import engine_key

WAT = """(module (memory (export "memory") 1)
  (func (export "turnwise_alloc") (param i32) (result i32) (i32.const 8))
  (func (export "turnwise_turn") (param i32 i32) (result i64) (i64.const 0)))"""
COMPONENT = """(component
  (core module $m (memory (export "m") 1)
    (func (export "r") (param i32 i32 i32 i32) (result i32) (i32.const 8))
    (func (export "t") (param i32 i32) (result i32) (i32.const 8)))
  (core instance $i (instantiate $m))
  (alias core export $i "m" (core memory $memory))
  (alias core export $i "r" (core func $realloc))
  (alias core export $i "t" (core func $turn))
  (func (export "turn") (param "input" string) (result string)
    (canon lift (core func $turn) (memory $memory) (realloc $realloc))))"""

Prepare = Callable[..., list[Code | CodeError]]


def source(content: str | bytes, language: code.Language = "wat", name: str = "agent") -> Source:
    entry = f"{name}.{language}"
    data = content.encode() if isinstance(content, str) else content
    return Source(f"agents.{name}.source", language, {entry: data}, entry)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(engine_key(), tmp_path / "cache")


def made(cache: Cache, *sources: Source) -> list[Code | CodeError]:
    return asyncio.run(prepare_each(sources, cache=cache))


def one(cache: Cache, wanted: Source) -> Code:
    (result,) = asyncio.run(prepare([wanted], cache=cache))
    return result


def refused(cache: Cache, wanted: Source) -> CodeError:
    with pytest.raises(CodeError) as caught:
        asyncio.run(prepare([wanted], cache=cache))
    assert caught.value.hint
    return caught.value


def test_carriers_are_told_apart_and_names_differ(cache: Cache) -> None:
    binary = bytes(wasmtime.wat2wasm(WAT))
    codes = made(cache, source(WAT), source(binary, "wasm"), source(COMPONENT), source(WAT + " "))
    assert [found.carrier for found in codes if isinstance(found, Code)] == ["module", "module", "component", "module"]
    hashes = [found.hash for found in codes if isinstance(found, Code)]
    assert len({*hashes}) == 4
    assert all(len(found) == 64 for found in hashes)
    assert hashes[0] == "3859c7cc70d733d33a072ca1566eb0560cbb1983567c259554f4f0f57edb9760", (
        "a journal names its code by this hash: it must never change"
    )


def test_equal_sources_are_built_once_and_found_again(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    builds = []

    async def counting(*arguments: object) -> object:
        builds.append(arguments)
        return await builder_process.build(*arguments)  # type: ignore[type-var, arg-type]

    monkeypatch.setattr(artefacts, "build", counting)
    first = made(cache, source(WAT, name="a"), source(WAT, name="b"))
    assert first[0] == first[1]
    assert len(builds) == 1
    assert made(cache, source(WAT)) == first[:1]
    assert len(builds) == 1


def test_an_artefact_that_was_tampered_with_is_built_again(cache: Cache) -> None:
    made_once = one(cache, source(WAT))
    good = made_once.path.read_bytes()
    made_once.path.write_bytes(b"evil" + good[4:])
    again = one(cache, source(WAT))
    assert again == made_once
    assert again.path.read_bytes()[:4] == good[:4]


@pytest.mark.parametrize(
    ("wanted", "where", "message"),
    [
        (source("(module\n  (func (export 1)))"), "agents.agent.source: agent.wat:2", "unexpected token"),
        (source("(module (func (result i32)))"), "agents.agent.source: agent.wat", "type mismatch"),
        (source("(module)"), "agents.agent.source: agent.wat", "does not export its `memory`"),
        (source(f'{WAT[:-1]} (import "env" "x" (func)))'), "agents.agent.source: agent.wat:3", "import after"),
        (source(b"\xff\xfe", "wat"), "agents.agent.source: agent.wat", "utf-8"),
        (source("", "wasm"), "agents.agent.source: agent.wasm", "no WebAssembly binary"),
        (source(WAT, "wasm"), "agents.agent.source: agent.wasm", "no WebAssembly binary"),
        (source(b"\0asm\1\0\0\0\xff\xff\xff", "wasm"), "agents.agent.source: agent.wasm", "malformed section"),
        (source(b"\0asm\x0d\0\1\0\x77", "wasm"), "agents.agent.source: agent.wasm", "unexpected end"),
        (source(b"\0asm\x0a\0\1\0", "wasm"), "agents.agent.source: agent.wasm", ""),
        (source(b"\0asm", "wasm"), "agents.agent.source: agent.wasm", ""),
        (source('(module (memory (export "memory") 1 1 shared))'), "agents.agent.source: agent.wat", "threads"),
    ],
)
def test_what_cannot_be_executed_is_refused_with_its_place(
    cache: Cache, wanted: Source, where: str, message: str
) -> None:
    error = refused(cache, wanted)
    assert error.where == where
    assert message in error.message


def test_all_that_is_wrong_is_found_at_once(cache: Cache) -> None:
    results = made(cache, source("(module)"), source(WAT), source("(("))
    assert [type(result).__name__ for result in results] == ["CodeError", "Code", "CodeError"]


def test_a_source_over_its_bound_is_refused(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code, "SOURCE_BYTES_MAX", 100)
    assert "at most 100 are allowed" in refused(cache, source("(" * 101)).message


def test_a_compiler_that_takes_too_long_is_ended(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builder_process, "WALL_S_MAX", 0)
    assert "takes more than 0 seconds" in refused(cache, source(WAT)).message


@pytest.mark.parametrize(
    ("role", "message"),
    [
        ("fail", "ended with status 3; it may need more than its limits allow\nthe last words"),
        ("lie", "the compiler's answer cannot be read"),
        ("confuse", "something else than it was asked"),
    ],
)
def test_what_becomes_of_the_compiler_is_the_sources_fault(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, role: str, message: str
) -> None:
    children = Path(__file__).parents[1] / "children"
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(children), *sys.path]))
    monkeypatch.setattr(builder_process, "BUILDER", f"builder_child_{role}")
    assert message in refused(cache, source(WAT)).message


VECTORS = {
    "(param i32 i32) (result i64) (i64.const 0)": "(param i32 i32) (result v128) (v128.const i64x2 0 0)",
    "(param i32) (result i32) (i32.const 8)": "(param v128) (result i32) (i32.const 8)",
    "(module ": '(module (import "turnwise" "effect" (func (param i32 v128) (result i64))) ',
}


@pytest.mark.parametrize("right", VECTORS)
@pytest.mark.parametrize("bounded", [False, True])
def test_a_function_of_the_contract_with_a_vector_is_refused(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, right: str, bounded: bool
) -> None:
    monkeypatch.setattr(builder_process, "memory_is_bounded", lambda: bounded)
    error = refused(cache, source(WAT.replace(right, VECTORS[right])))
    assert "has a v128 among its parameters or results" in error.message
    assert "signal" not in error.message


def test_vectors_elsewhere_are_allowed(cache: Cache) -> None:
    vector = (
        '(global v128 (v128.const i64x2 0 0)) (func (param v128) (result v128) (local.get 0)) (memory (export "memory'
    )
    assert one(cache, source(WAT.replace('(memory (export "memory', vector))).carrier == "module"


def test_a_builder_that_was_killed_from_outside_is_the_machines_fault(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    children = Path(__file__).parents[1] / "children"
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(children), *sys.path]))
    monkeypatch.setattr(builder_process, "BUILDER", "builder_child_kill")
    with pytest.raises(EnvironmentFailure, match="killed from outside"):
        made(cache, source(WAT))


def test_a_builder_that_cannot_work_is_the_machines_fault(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builder_process, "BUILDER", "turnwise.sandbox.nothing_of_this_name")
    with pytest.raises(EnvironmentFailure, match="nothing_of_this_name"):
        made(cache, source(WAT))
    monkeypatch.setattr("sys.executable", "/nonexistent/python")
    with pytest.raises(EnvironmentFailure, match="cannot be started: /nonexistent/python") as caught:
        made(cache, source(WAT))
    assert "Python was moved" in str(caught.value.hint)


def test_people_are_told_of_what_takes_long(cache: Cache) -> None:
    told: list[str] = []
    padded = f'{WAT[:-1]} (data "{"x" * 1_100_000}"))'
    asyncio.run(prepare([source(WAT), source(padded, name="large")], cache=cache, announce=told.append))
    assert told == ["Compiling large.wat; this takes some seconds, once."]
    asyncio.run(prepare([source(padded, name="large")], cache=cache, announce=told.append))
    assert len(told) == 1


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_no_builder_is_left_behind(cache: Cache) -> None:
    def builders() -> list[str]:
        return [child for file in Path("/proc/self/task").glob("*/children") for child in file.read_text().split()]

    async def cancelled() -> None:
        before = set(builders())
        task = asyncio.create_task(prepare([source(WAT)], cache=cache))
        while not set(builders()) - before:
            assert not task.done(), "the builder was too quick to be seen"
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    before = set(builders())
    asyncio.run(cancelled())
    assert set(builders()) == before
