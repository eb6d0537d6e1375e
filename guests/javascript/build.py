"""Builds the interpreter of JavaScript agents: QuickJS-NG by `zig cc`, started once, with its memory stored.

    python guests/javascript/build.py [--force]

Called by `hatch_build.py` when a wheel, or an editable install, is built. The engine's sources are those in a source
distribution on the package index, named by its hash, which pip downloads or has kept; the compiler is the wheel
`ziglang`, which carries everything else. Two builds give the same module.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import wasmtime

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from interpreter_build.artefact import Built, digest, keep_built, source_files
from interpreter_build.encoding import Reader

from interpreter_build import encoding

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OUTPUT = ROOT / "src" / "turnwise" / "sandbox" / "javascript"
SOURCES = ("guests/javascript", "guests/c/turnwise.h", "interpreter_build/encoding.py")
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
    zig, wasmtime_version = metadata.version("ziglang"), metadata.version("wasmtime")
    tools = f"ziglang {zig} wasmtime {wasmtime_version} {ENGINE} {ENGINE_SHA256}"

    def make() -> Built:
        with tempfile.TemporaryDirectory(prefix="turnwise-javascript-") as folder:
            engine = _engine(Path(folder))
            content = with_memory(_compile(Path(folder), engine))
            notice = _notice(engine / "quickjs.c")
        facts = {"quickjs": ENGINE.partition("==")[2], "sdk": "0.2.0", "zig": zig}
        return Built(content, facts, {"QUICKJS-LICENSE.txt": notice})

    return keep_built(OUTPUT, digest(tools, ROOT, source_files(ROOT, SOURCES, SUFFIXES)), make, force=force)


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
    engine = folder / "engine"
    engine.mkdir()
    with tarfile.open(archives[0]) as archive:
        for member in archive:
            above, _, name = member.name.rpartition("/")
            wanted = member.isfile() and above == ENGINE_FOLDER and name.endswith((".c", ".h"))
            if wanted and (content := archive.extractfile(member)) is not None:
                (engine / name).write_bytes(content.read())
    return engine


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
    # A type belongs to the engine that has seen it first.
    for name, parameters in (("effect", 2), ("effect_bytes", 4)):
        kind = wasmtime.FuncType([wasmtime.ValType.i32()] * parameters, [wasmtime.ValType.i64()])
        linker.define_func("turnwise", name, kind, _no_effect)
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


def _no_effect(*_: int) -> int:
    raise RuntimeError("the interpreter asks for an effect while it is built")


def _rewritten(module: bytes, pages: int, memory: bytes) -> bytes:
    """Return a module with another memory at first, and with the exports of the contract only."""
    parts = [module[:8]]
    for kind, begin, end in encoding.sections(module, 8, len(module)):
        body = module[begin:end]
        if kind in (CUSTOM, DATA_COUNT):
            continue
        if kind == GLOBAL and _mutable_globals(body) != 1:
            raise RuntimeError("the module has other mutable globals than its stack pointer: it cannot be stored")
        if kind == START:
            raise RuntimeError("the module has a start function, which would run again: it cannot be stored")
        if kind == MEMORY:
            body = b"\1\0" + encoding.unsigned(pages)
        elif kind == EXPORT:
            body = _kept_exports(body)
        elif kind == DATA:
            body = _data(memory)
        parts.append(encoding.section(kind, body))
    return b"".join(parts)


CUSTOM, MEMORY, GLOBAL, EXPORT, START, DATA, DATA_COUNT = 0, 5, 6, 7, 8, 11, 12


def _mutable_globals(body: bytes) -> int:
    reader = Reader(body)
    mutable = 0
    for _ in reader.counted():
        reader.byte()  # its type
        mutable += reader.byte()
        while reader.byte() != 0x0B:  # `end`, behind one constant
            reader.unsigned()
    return mutable


def _kept_exports(body: bytes) -> bytes:
    reader = Reader(body)
    kept = []
    for _ in reader.counted():
        begin = reader.position
        name = reader.name()
        reader.byte()  # its kind
        reader.unsigned()
        if name in EXPORTS:
            kept.append(reader.since(begin))
    if len(kept) != len(EXPORTS):
        raise RuntimeError(f"the module does not export {', '.join(EXPORTS)}")
    return encoding.vector(kept)


def _data(memory: bytes) -> bytes:
    head = b"\0\x41"  # an active segment, whose address is a constant
    return encoding.vector(
        head + encoding.signed(at) + b"\x0b" + encoding.unsigned(len(content)) + content
        for at, content in segments(memory)
    )


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


def main(arguments: Sequence[str]) -> Any:
    """Build it."""
    print(build(force="--force" in arguments))


if __name__ == "__main__":
    main(sys.argv[1:])
