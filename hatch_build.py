"""Builds the interpreter component of Python agents when a wheel, or an editable install, is built.

componentize-py stores the memory of a started CPython that has imported the SDK and the standard modules; see
docs/decisions/0003-interpreter-component.md. It carries everything that it needs, so this works offline. What is built
already is kept as long as nothing that goes into it has changed.

    python hatch_build.py [--force]

does the same by hand.
"""

from __future__ import annotations

import bisect
import json
import os
import platform
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

from interpreter_build.artefact import Built, digest, keep_built, source_files
from interpreter_build.merge import merge

from interpreter_build import encoding

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run by hand where hatchling is not installed
    BuildHookInterface = object  # type: ignore[assignment,misc]

SOURCES = ("guests/python", "wit", "interpreter_build", "hatch_build.py")
SUFFIXES = (".py", ".wit", ".c")
OUTPUT = "src/turnwise/sandbox/python"
APP = "turnwise_interpreter"
WORLD = "interpreter"


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg,misc,unused-ignore]
    """Called by hatchling before it collects the files of a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name == "wheel":
            build(Path(self.root))
            build_javascript(Path(self.root))


def build(root: Path, *, force: bool = False) -> Path:
    """Build ``interpreter.wasm`` and ``interpreter.json`` below `root` if they are out of date; return the folder."""
    version = metadata.version("componentize-py")

    def make() -> Built:
        with tempfile.TemporaryDirectory(prefix="turnwise-interpreter-") as temporary:
            content, facts = _componentize(root, Path(temporary))
        return Built(content, {**facts, "componentize_py": version}, {})

    inputs = digest(f"componentize-py {version}", root, source_files(root, SOURCES, SUFFIXES))
    return keep_built(root / OUTPUT, inputs, make, force=force)


def build_javascript(root: Path, *, force: bool = False) -> Path:
    """Build the interpreter of JavaScript agents if it is out of date, by its own script; return the folder."""
    parts = runpy.run_path(str(root / "guests" / "javascript" / "build.py"))
    folder: Path = parts["build"](force=force)
    return folder


def _componentize(root: Path, temporary: Path) -> tuple[bytes, dict[str, Any]]:
    """Run componentize-py on copies, so that no file beside the sources (bytecode, a report) gets in or is left.

    Returns the module that its component is merged into, and what the interpreter told about itself.
    """
    app = temporary / "app"
    app.mkdir()
    for path in source_files(root, SOURCES, SUFFIXES):
        relative = path.relative_to(root)
        if relative.parts[:2] == ("guests", "python") and path.suffix == ".py":
            copy = app / Path(*relative.parts[2:])
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    # componentize-py adds the site-packages of whatever environment it finds: show it one that is empty.
    environment = temporary / "environment"
    (environment / "lib" / "python3" / "site-packages").mkdir(parents=True)
    output = temporary / "interpreter.wasm"
    wit = temporary / "wit"
    (wit / "deps").mkdir(parents=True)
    shutil.copyfile(root / "guests" / "python" / "interpreter.wit", wit / "interpreter.wit")
    shutil.copytree(root / "wit", wit / "deps" / "agent")
    arguments = ["-q", "-d", str(wit), "-w", WORLD, "componentize", "-p", str(app), APP, "-o", str(output)]
    program = f"import sys; from componentize_py import script; sys.argv[1:] = {arguments!r}; sys.exit(script())"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "VIRTUAL_ENV": str(environment), **same_answers(root, temporary)},
        capture_output=True,
        text=True,
        check=False,
    )
    facts, objects = app / f"{APP}.json", app / f"{APP}.objects"
    if done.returncode != 0 or not (output.is_file() and facts.is_file() and objects.is_file()):
        raise RuntimeError(f"componentize-py could not build the interpreter component:\n{done.stdout}{done.stderr}")
    component, immortal = make_immortal(output.read_bytes(), objects.read_bytes())
    return merge(component), {**json.loads(facts.read_text(encoding="utf-8")), "objects_immortal": immortal}


def same_answers(root: Path, temporary: Path) -> dict[str, str]:
    """Return the environment in which a program gets the same answers of the system in every build.

    So two builds give the same module. Empty where that is not possible: a build then has bits of its own.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return {}
    library = temporary / "same_answers.so"
    source = root / "interpreter_build" / "same_answers.c"
    command = [sys.executable, "-m", "ziglang", "cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{source.name} cannot be compiled:\n{done.stderr}")
    return {"LD_PRELOAD": str(library), "PYTHONHASHSEED": "0"}


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
    for kind, begin, stop in encoding.sections(component, 8, len(component)):
        if kind != module_section:
            continue
        for module_kind, position, _ in encoding.sections(component, begin + 8, stop):
            if module_kind != data_section:
                continue
            reader = encoding.Reader(component, position)
            for _ in reader.counted():
                active, constant = reader.byte() == 0, reader.byte() == i32_const
                if not (active and constant):
                    raise RuntimeError("the component stores its memory in another way than componentize-py 0.25 does")
                address = reader.signed()
                if reader.byte() != end:
                    raise RuntimeError("the component stores its memory in another way than componentize-py 0.25 does")
                size = reader.unsigned()
                yield address, reader.position, size
                reader.position += size


if __name__ == "__main__":
    print(build(Path(__file__).resolve().parent, force="--force" in sys.argv[1:]))
    print(build_javascript(Path(__file__).resolve().parent, force="--force" in sys.argv[1:]))
