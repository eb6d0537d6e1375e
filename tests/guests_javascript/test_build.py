"""The build of the interpreter of JavaScript agents: started once, and stored with the memory that it has then."""

from __future__ import annotations

import io
import runpy
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
import wasmtime

BUILD = Path(__file__).resolve().parents[2] / "guests" / "javascript" / "build.py"

MODULE = """(module
  {first}
  (memory (export "memory") 1)
  (global (export "__stack_pointer") (mut i32) (i32.const 4096))
  {more}
  (func (export "turnwise_init") (result i32)
    (drop (memory.grow (i32.const 1)))
    (i32.store (i32.const 70000) (i32.const 77))
    {init} (i32.const {status}))
  (func (export "turnwise_alloc") (param i32) (result i32) (i32.const 8))
  (func (export "{turn}") (param i32 i32) (result i64) (i64.load (i32.const 70000)))
  (data (i32.const 16) "first"))"""
EFFECT = '(import "turnwise" "effect" (func $effect (param i32 i32) (result i64)))'


@pytest.fixture(scope="module")
def build() -> dict[str, Any]:
    return runpy.run_path(str(BUILD))


def module(
    *, first: str = EFFECT, more: str = "", init: str = "", status: int = 0, turn: str = "turnwise_turn"
) -> bytes:
    return bytes(wasmtime.wat2wasm(MODULE.format(first=first, more=more, init=init, status=status, turn=turn)))


def test_a_stored_module_goes_on_where_it_was_started(build: dict[str, Any]) -> None:
    stored = build["with_memory"](module())
    engine = wasmtime.Engine()
    compiled = wasmtime.Module(engine, stored)
    assert [export.name for export in compiled.exports] == ["memory", "turnwise_alloc", "turnwise_turn"]
    store = wasmtime.Store(engine)
    i32, i64 = wasmtime.ValType.i32, wasmtime.ValType.i64
    effect = wasmtime.Func(store, wasmtime.FuncType([i32(), i32()], [i64()]), lambda *_: 0)
    exports = wasmtime.Instance(store, compiled, [effect]).exports(store)
    memory = exports["memory"]
    assert memory.size(store) == 2
    assert bytes(memory.read(store, 16, 21)) == b"first"
    assert exports["turnwise_turn"](store, 0, 0) == 77
    assert len(stored) < 1000  # zeros are not stored


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"status": 1}, "does not start"),
        ({"init": "(global.set 0 (i32.const 4000))"}, "stack pointer is not where it was"),
        ({"more": "(global (mut i32) (i32.const 1))"}, "other mutable globals"),
        ({"more": "(func $start) (start $start)"}, "start function"),
        ({"turn": "other"}, "does not export"),
        ({"init": "(drop (call $effect (i32.const 0) (i32.const 0)))"}, "asks for an effect while it is built"),
    ],
)
def test_what_cannot_be_stored_stops_the_build(build: dict[str, Any], changed: dict[str, Any], said: str) -> None:
    with pytest.raises((RuntimeError, wasmtime.WasmtimeError), match=said):
        build["with_memory"](module(**changed))


@pytest.mark.parametrize(
    ("memory", "found"),
    [
        (b"", []),
        (bytes(200_000), []),
        (b"ab" + bytes(70_000) + b"c", [(0, b"ab"), (70_002, b"c")]),
        (bytes(5) + b"a" + bytes(63) + b"b" + bytes(64) + b"c" + bytes(9), [(5, b"a" + bytes(63) + b"b"), (134, b"c")]),
    ],
)
def test_few_zeros_in_a_row_belong_to_a_segment(
    build: dict[str, Any], memory: bytes, found: list[tuple[int, bytes]]
) -> None:
    assert list(build["segments"](memory)) == found


def test_of_the_engine_s_archive_only_its_sources_are_taken(
    build: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = build["ENGINE_FOLDER"]

    def download(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        with tarfile.open(tmp_path / "engine.tar.gz", "w:gz") as archive:
            for name in (f"{folder}/quickjs.c", f"{folder}/sub/other.c", f"{folder}/run.sh", f"{folder}/../../out.c"):
                entry = tarfile.TarInfo(name)
                entry.size = len(name)
                archive.addfile(entry, io.BytesIO(name.encode()))
            link = tarfile.TarInfo(f"{folder}/link.c")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
            archive.addfile(link)
        assert "--require-hashes" in command
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", download)
    engine = build["_engine"](tmp_path)
    assert [path.name for path in engine.iterdir()] == ["quickjs.c"]
    assert (engine / "quickjs.c").read_text() == f"{folder}/quickjs.c"


def test_an_engine_that_cannot_be_downloaded_is_said(
    build: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 1, "", "no network")
    )
    with pytest.raises(RuntimeError, match="no network"):
        build["_engine"](tmp_path)
