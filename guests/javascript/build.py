"""Builds the interpreter of JavaScript agents: QuickJS-NG by `zig cc`, started once, with its memory stored.

    python guests/javascript/build.py [--force]

Called by `hatch_build.py` when a wheel, or an editable install, is built. The engine's sources are those in a source
distribution on the package index, named by its hash, which pip downloads or has kept; the compiler is the wheel
`ziglang`, which carries everything else. Two builds give the same module.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import wasmtime

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OUTPUT = ROOT / "src" / "turnwise" / "sandbox" / "javascript"
SOURCES = ("guests/javascript", "guests/c/turnwise.h")
SUFFIXES = (".c", ".h", ".js", ".py")
UNITS = ("interpreter.c", "heap.c")
ENGINE = "quickjs-ng==0.17.0.2"
ENGINE_SHA256 = "43d2e48272208721a7aaea8e3f02d4b9318f12ef20cc4f5421b59d9a470706ef"
"""The Python package whose source distribution has QuickJS-NG's sources, unchanged, and the hash of that file."""
ENGINE_FOLDER = "quickjs_ng-0.17.0.2/upstream-quickjs"
ENGINE_UNITS = ("quickjs.c", "libregexp.c", "libunicode.c", "dtoa.c")
EXPORTS = ("memory", "turnwise_alloc", "turnwise_turn")
STACK_BYTES = 1024 * 1024
FLAGS = (
    "--target=wasm32-wasi", "-mexec-model=reactor", "-std=gnu11", "-O2", "-DNDEBUG", "-D_GNU_SOURCE",
    "-funsigned-char", "-fwrapv", "-fno-sanitize=undefined", "-Wno-everything",
    "-Wl,--export=__stack_pointer", f"-Wl,-z,stack-size={STACK_BYTES}", "-Wl,--strip-all",
)  # fmt: skip
"""The stack lies below everything else, so that running over it traps instead of writing into the heap."""

GAP_BYTES = 64
"""Zeros in a row that are worth a segment of their own: one costs some bytes, too."""


def build(*, force: bool = False) -> Path:
    """Build ``interpreter.wasm`` and ``interpreter.json`` if they are out of date; return their folder."""
    module, description = OUTPUT / "interpreter.wasm", OUTPUT / "interpreter.json"
    inputs = _inputs()
    if not force and _is_built(module, description, inputs):
        return OUTPUT
    with tempfile.TemporaryDirectory(prefix="turnwise-javascript-") as folder:
        engine = _engine(Path(folder))
        content = with_memory(_compile(Path(folder), engine))
        notice = _notice(engine / "quickjs.c")
    facts = {
        "bytes": len(content),
        "inputs": inputs,
        "quickjs": ENGINE.partition("==")[2],
        "sdk": "0.1.0",
        "sha256": hashlib.sha256(content).hexdigest(),
        "zig": metadata.version("ziglang"),
    }
    # The description goes last: whoever sees it finds the module that it describes, or one that does not fit.
    _write(OUTPUT / "QUICKJS-LICENSE.txt", notice)
    _write(module, content)
    _write(description, (json.dumps(facts, indent=2, sort_keys=True) + "\n").encode())
    return OUTPUT


def _inputs() -> str:
    """SHA-256 over everything that the module is made of, names and contents."""
    tools = f"ziglang {metadata.version('ziglang')} wasmtime {metadata.version('wasmtime')} {ENGINE} {ENGINE_SHA256}\n"
    digest = hashlib.sha256(tools.encode())
    for source in SOURCES:
        path = ROOT / source
        files = [path] if path.is_file() else [p for p in path.rglob("*") if p.suffix in SUFFIXES]
        for file in sorted(files, key=lambda p: p.relative_to(ROOT).as_posix()):
            content = file.read_bytes()
            digest.update(f"{file.relative_to(ROOT).as_posix()} {len(content)}\n".encode())
            digest.update(content)
    return digest.hexdigest()


def _is_built(module: Path, description: Path, inputs: str) -> bool:
    try:
        facts = json.loads(description.read_text(encoding="utf-8"))
        content = module.read_bytes()
    except (OSError, ValueError):
        return False
    return bool(facts.get("inputs") == inputs and facts.get("sha256") == hashlib.sha256(content).hexdigest())


def _engine(folder: Path) -> Path:
    """Have pip download the engine's source distribution, whose hash it compares; return the folder of its C files."""
    wanted = folder / "engine.txt"
    wanted.write_text(f"{ENGINE} --hash=sha256:{ENGINE_SHA256}\n")
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary=:all:", "--require-hashes"]
    command += ["--dest", str(folder), "-r", str(wanted)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    archives = list(folder.glob("*.tar.gz"))
    if done.returncode != 0 or len(archives) != 1:
        raise RuntimeError(f"pip cannot download the sources of {ENGINE}:\n{done.stdout}{done.stderr}")
    with tarfile.open(archives[0]) as archive:
        archive.extractall(folder, filter="data")
    return folder / ENGINE_FOLDER


def _notice(source: Path) -> bytes:
    """The comment with copyright and licence with which a source begins, which goes along with what is made of it."""
    text = source.read_text("utf-8")
    begin, end = text.index("/*"), text.index("*/")
    lines = [line.strip().removeprefix("*").removeprefix(" ") for line in text[begin + 2 : end].splitlines()]
    return ("\n".join(lines).strip() + "\n").encode()


def _compile(folder: Path, engine: Path) -> bytes:
    """Compile and link; return the module."""
    sdk = (HERE / "turnwise.js").read_bytes()
    text = ",".join(map(str, sdk + b"\0"))
    (folder / "sdk.c").write_text(
        f"const char turnwise_js[] = {{{text}}};\nconst unsigned int turnwise_js_length = {len(sdk)};\n"
    )
    output = folder / "interpreter.wasm"
    command = [sys.executable, "-m", "ziglang", "cc", *FLAGS, "-I", str(engine), "-I", "../c", *UNITS]
    command += [str(engine / name) for name in ENGINE_UNITS]
    command += [str(folder / "sdk.c"), "-o", str(output)]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the interpreter of JavaScript agents cannot be compiled:\n{done.stdout}{done.stderr}")
    return output.read_bytes()


# -- the stored memory -----------------------------------------------------------------------------------------------


def with_memory(module: bytes) -> bytes:
    """Start a module (`turnwise_init`), and return it with the memory that it has then as its data.

    The only other thing that could have changed is its one mutable global, the stack pointer, which is compared.
    """
    engine = wasmtime.Engine()
    compiled = wasmtime.Module(engine, module)
    store = wasmtime.Store(engine)
    linker = wasmtime.Linker(engine)
    linker.define_func("turnwise", "effect", _EFFECT, _no_effect)
    exports = linker.instantiate(store, compiled).exports(store)
    before = exports["__stack_pointer"].value(store)
    if "_initialize" in exports:
        exports["_initialize"](store)
    if exports["turnwise_init"](store) != 0:
        raise RuntimeError("the interpreter of JavaScript agents does not start")
    if exports["__stack_pointer"].value(store) != before:
        raise RuntimeError("the stack pointer is not where it was: the module cannot be stored")
    memory = exports["memory"]
    return _rewritten(module, memory.size(store), memory.read(store, 0, memory.data_len(store)))


_EFFECT = wasmtime.FuncType([wasmtime.ValType.i32(), wasmtime.ValType.i32()], [wasmtime.ValType.i64()])


def _no_effect(_pointer: int, _length: int) -> int:
    raise RuntimeError("the interpreter asks for an effect while it is built")


def _rewritten(module: bytes, pages: int, memory: bytes) -> bytes:
    """Return a module with another memory at first, and with the exports of the contract only."""
    parts = [module[:8]]
    for kind, begin, end in sections(module, 8, len(module)):
        body = module[begin:end]
        if kind in (CUSTOM, DATA_COUNT):
            continue
        if kind == GLOBAL and _mutable_globals(body) != 1:
            raise RuntimeError("the module has other mutable globals than its stack pointer: it cannot be stored")
        if kind == START:
            raise RuntimeError("the module has a start function, which would run again: it cannot be stored")
        if kind == MEMORY:
            body = b"\1\0" + uleb(pages)
        elif kind == EXPORT:
            body = _kept_exports(body)
        elif kind == DATA:
            body = _data(memory)
        parts.append(bytes([kind]) + uleb(len(body)) + body)
    return b"".join(parts)


CUSTOM, MEMORY, GLOBAL, EXPORT, START, DATA, DATA_COUNT = 0, 5, 6, 7, 8, 11, 12


def sections(data: bytes, position: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Yield (kind, begin, end) of the sections of a module."""
    while position < stop:
        kind = data[position]
        size, begin = read_uleb(data, position + 1)
        yield kind, begin, begin + size
        position = begin + size


def read_uleb(data: bytes, position: int) -> tuple[int, int]:
    """Read a number of variable length; return it and the position behind it."""
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, position


def uleb(value: int) -> bytes:
    """Return an unsigned number of variable length."""
    found = bytearray()
    while True:
        value, byte = value >> 7, value & 0x7F
        if not value:
            return bytes([*found, byte])
        found.append(byte | 0x80)


def sleb(value: int) -> bytes:
    """Return a signed number of variable length."""
    found = bytearray()
    while True:
        value, byte = value >> 7, value & 0x7F
        if value == (-1 if byte & 0x40 else 0):
            return bytes([*found, byte])
        found.append(byte | 0x80)


def _mutable_globals(body: bytes) -> int:
    count, position = read_uleb(body, 0)
    mutable = 0
    for _ in range(count):
        mutable += body[position + 1]
        position += 2
        while body[position] != 0x0B:  # `end`, behind one constant
            _, position = read_uleb(body, position + 1)
        position += 1
    return mutable


def _kept_exports(body: bytes) -> bytes:
    count, position = read_uleb(body, 0)
    kept = []
    for _ in range(count):
        begin = position
        size, at = read_uleb(body, position)
        name = body[at : at + size].decode()
        _, position = read_uleb(body, at + size + 1)
        if name in EXPORTS:
            kept.append(body[begin:position])
    if len(kept) != len(EXPORTS):
        raise RuntimeError(f"the module does not export {', '.join(EXPORTS)}")
    return uleb(len(kept)) + b"".join(kept)


def _data(memory: bytes) -> bytes:
    found = list(segments(memory))
    parts = [b"\0\x41" + sleb(at) + b"\x0b" + uleb(len(content)) + content for at, content in found]
    return uleb(len(found)) + b"".join(parts)


def segments(memory: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield what is not zero, with its address. Fewer zeros in a row than `GAP_BYTES` belong to it."""
    gap = bytes(GAP_BYTES)
    position = 0
    while position < len(memory):
        rest = memory[position : position + 65536]
        begin = position + len(rest) - len(rest.lstrip(b"\0"))
        if begin == position + len(rest):
            position = begin
            continue
        end = memory.find(gap, begin)
        end = len(memory.rstrip(b"\0")) if end < 0 else end
        yield begin, memory[begin:end]
        position = end


def _write(target: Path, content: bytes) -> None:
    """Put a file into its place at once."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    beside.write_bytes(content)
    beside.replace(target)


def main(arguments: Sequence[str]) -> Any:
    """Build it."""
    print(build(force="--force" in arguments))


if __name__ == "__main__":
    main(sys.argv[1:])
