"""Builds the interpreter component of Python agents when a wheel, or an editable install, is built.

componentize-py snapshots a started CPython with the SDK and the standard modules in its memory; see
docs/decisions/0003-interpreter-component.md. It carries everything that it needs, so this works offline. What is built
already is kept as long as nothing that goes into it has changed.

    python hatch_build.py [--force]

does the same by hand.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run by hand where hatchling is not installed
    BuildHookInterface = object  # type: ignore[assignment,misc]

SOURCES = ("guests/python", "wit", "hatch_build.py")
OUTPUT = "src/turnwise/sandbox/python"
APP = "turnwise_interpreter"
WORLD = "agent"


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg,misc,unused-ignore]
    """Called by hatchling before it collects the files of a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name == "wheel":
            build(Path(self.root))


def build(root: Path, *, force: bool = False) -> Path:
    """Build ``interpreter.wasm`` and ``interpreter.json`` below `root` if they are out of date; return the folder."""
    folder = root / OUTPUT
    component, description = folder / "interpreter.wasm", folder / "interpreter.json"
    inputs = _inputs(root)
    if not force and _is_built(component, description, inputs):
        return folder
    with tempfile.TemporaryDirectory(prefix="turnwise-interpreter-") as temporary:
        built, facts = _componentize(root, Path(temporary))
        facts |= {
            "sha256": hashlib.sha256(built.read_bytes()).hexdigest(),
            "bytes": built.stat().st_size,
            "componentize_py": metadata.version("componentize-py"),
            "inputs": inputs,
        }
        text = Path(temporary) / "interpreter.json"
        text.write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        # The description goes last: whoever sees it finds the component that it describes, or one that does not fit.
        _replace(built, component)
        _replace(text, description)
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


def _componentize(root: Path, temporary: Path) -> tuple[Path, dict[str, Any]]:
    """Run componentize-py on copies, so that no file beside the sources (bytecode, a report) gets in or is left."""
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
    facts = app / f"{APP}.json"
    if done.returncode != 0 or not output.is_file() or not facts.is_file():
        raise RuntimeError(f"componentize-py could not build the interpreter component:\n{done.stdout}{done.stderr}")
    return output, json.loads(facts.read_text(encoding="utf-8"))


def _replace(source: Path, target: Path) -> None:
    """Move a file into its place at once, across file systems as well."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.copyfile(source, beside)
    beside.replace(target)


if __name__ == "__main__":
    print(build(Path(__file__).resolve().parent, force="--force" in sys.argv[1:]))
