"""Builds the interpreter component of Python agents when a wheel, or an editable install, is built.

componentize-py stores the memory of a started CPython that has imported the SDK and the standard modules; see
docs/decisions/0003-interpreter-component.md. It carries everything that it needs, so this works offline. What is built
already is kept as long as nothing that goes into it has changed.

    python hatch_build.py [--force]

does the same by hand.
"""

from __future__ import annotations

import bisect
import hashlib
import json
import os
import runpy
import shutil
import struct
import subprocess
import sys
import tempfile
from array import array
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from interpreter_build.merge import merge

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run by hand where hatchling is not installed
    BuildHookInterface = object  # type: ignore[assignment,misc]

SOURCES = ("guests/python", "wit", "interpreter_build", "hatch_build.py")
OUTPUT = "src/turnwise/sandbox/python"
APP = "turnwise_interpreter"
WORLD = "agent"


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg,misc,unused-ignore]
    """Called by hatchling before it collects the files of a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name == "wheel":
            build(Path(self.root))
            build_javascript(Path(self.root))


def build(root: Path, *, force: bool = False) -> Path:
    """Build ``interpreter.wasm`` and ``interpreter.json`` below `root` if they are out of date; return the folder."""
    folder = root / OUTPUT
    component, description = folder / "interpreter.wasm", folder / "interpreter.json"
    inputs = _inputs(root)
    if not force and _is_built(component, description, inputs):
        return folder
    with tempfile.TemporaryDirectory(prefix="turnwise-interpreter-") as temporary:
        content, facts = _componentize(root, Path(temporary))
    facts |= {
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "componentize_py": metadata.version("componentize-py"),
        "inputs": inputs,
    }
    # The description goes last: whoever sees it finds the component that it describes, or one that does not fit.
    _write(component, content)
    _write(description, (json.dumps(facts, indent=2, sort_keys=True) + "\n").encode())
    return folder


def build_javascript(root: Path, *, force: bool = False) -> Path:
    """Build the interpreter of JavaScript agents if it is out of date, by its own script; return the folder."""
    parts = runpy.run_path(str(root / "guests" / "javascript" / "build.py"))
    folder: Path = parts["build"](force=force)
    return folder


def _inputs(root: Path) -> str:
    """SHA-256 over everything that the component is made of, names and contents."""
    digest = hashlib.sha256(f"componentize-py {metadata.version('componentize-py')}\n".encode())
    for path in _source_files(root):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def _source_files(root: Path) -> list[Path]:
    files = []
    for source in SOURCES:
        path = root / source
        found = [path] if path.is_file() else [p for p in path.rglob("*") if p.suffix in (".py", ".wit")]
        files += sorted(found, key=lambda p: p.relative_to(root).as_posix())
    return files


def _is_built(component: Path, description: Path, inputs: str) -> bool:
    try:
        facts = json.loads(description.read_text(encoding="utf-8"))
        content = component.read_bytes()
    except (OSError, ValueError):
        return False
    return bool(facts.get("inputs") == inputs and facts.get("sha256") == hashlib.sha256(content).hexdigest())


def _componentize(root: Path, temporary: Path) -> tuple[bytes, dict[str, Any]]:
    """Run componentize-py on copies, so that no file beside the sources (bytecode, a report) gets in or is left.

    Returns the module that its component is merged into, and what the interpreter told about itself.
    """
    app = temporary / "app"
    app.mkdir()
    for path in _source_files(root):
        relative = path.relative_to(root)
        if relative.parts[:2] == ("guests", "python"):
            copy = app / Path(*relative.parts[2:])
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    # componentize-py adds the site-packages of whatever environment it finds: show it one that is empty.
    environment = temporary / "environment"
    (environment / "lib" / "python3" / "site-packages").mkdir(parents=True)
    output = temporary / "interpreter.wasm"
    arguments = ["-q", "-d", str(root / "wit"), "-w", WORLD, "componentize", "-p", str(app), APP, "-o", str(output)]
    program = f"import sys; from componentize_py import script; sys.argv[1:] = {arguments!r}; sys.exit(script())"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "VIRTUAL_ENV": str(environment)},
        capture_output=True,
        text=True,
        check=False,
    )
    facts, objects = app / f"{APP}.json", app / f"{APP}.objects"
    if done.returncode != 0 or not (output.is_file() and facts.is_file() and objects.is_file()):
        raise RuntimeError(f"componentize-py could not build the interpreter component:\n{done.stdout}{done.stderr}")
    component, immortal = make_immortal(output.read_bytes(), objects.read_bytes())
    return merge(component), {**json.loads(facts.read_text(encoding="utf-8")), "objects_immortal": immortal}


IMMORTAL = 5 << 28
"""The reference count of immortal objects in a CPython of 32 bits, which counts no more from 1 << 30 on."""
COUNTED_MAX = 1_000_000
"""No object has more references; what looks like one that has is free memory, where this word is an address."""
OBJECTS_LOST_MAX = 0.01
"""Share of objects that may have gone between being listed and being stored."""


def make_immortal(component: bytes, objects: bytes) -> tuple[bytes, int]:
    """Set the reference counts of `objects` in the memory that `component` stores; return it and how many were set.

    `objects` are pairs of 32-bit addresses: the object's, and its type's, by which it is recognised. An object begins
    with its reference count, then its type.
    """
    changed = bytearray(component)
    segments = list(_data_segments(component))
    starts = [start for start, _, _ in segments]
    pairs = array("I")
    pairs.frombytes(objects)
    immortal = lost = 0
    for address, type_address in zip(pairs[::2], pairs[1::2], strict=True):
        start, position, size = segments[max(bisect.bisect_right(starts, address) - 1, 0)]
        if not start <= address <= start + size - 8:
            lost += 1
            continue
        count, type_found = struct.unpack_from("<II", component, position + address - start)
        if type_found != type_address:
            lost += 1
        elif 0 < count <= COUNTED_MAX:
            struct.pack_into("<I", changed, position + address - start, IMMORTAL)
            immortal += 1
        elif count < 1 << 30:
            lost += 1
    if lost > OBJECTS_LOST_MAX * (len(pairs) // 2):
        raise RuntimeError(
            f"{lost} of {len(pairs) // 2} objects are not where the interpreter said: "
            f"is this CPython's object layout another than that of 3.14 with 32 bits?"
        )
    return bytes(changed), immortal


def _data_segments(component: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (address in memory, position in the file, size) of what the component's memory holds at first."""
    module_section, data_section, i32_const, end = 1, 11, 0x41, 0x0B
    for kind, begin, stop in _sections(component, 8, len(component)):
        if kind != module_section:
            continue
        for module_kind, position, _ in _sections(component, begin + 8, stop):
            if module_kind != data_section:
                continue
            count, position = _leb128(component, position)
            for _ in range(count):
                if component[position] != 0 or component[position + 1] != i32_const:
                    raise RuntimeError("the component stores its memory in another way than componentize-py 0.25 does")
                address, position = _leb128(component, position + 2, signed=True)
                if component[position] != end:
                    raise RuntimeError("the component stores its memory in another way than componentize-py 0.25 does")
                size, position = _leb128(component, position + 1)
                yield address, position, size
                position += size


def _sections(data: bytes, position: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Yield (kind, begin, end) of the sections of a module or component."""
    while position < stop:
        kind = data[position]
        size, begin = _leb128(data, position + 1)
        yield kind, begin, begin + size
        position = begin + size


def _leb128(data: bytes, position: int, *, signed: bool = False) -> tuple[int, int]:
    """Read a number of variable length; return it and the position behind it."""
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            break
    if signed and byte & 0x40:
        value -= 1 << shift
    return value, position


def _write(target: Path, content: bytes) -> None:
    """Put a file into its place at once."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    beside.write_bytes(content)
    beside.replace(target)


if __name__ == "__main__":
    print(build(Path(__file__).resolve().parent, force="--force" in sys.argv[1:]))
    print(build_javascript(Path(__file__).resolve().parent, force="--force" in sys.argv[1:]))
