"""Run the tests against one mutant in a process of its own that imports everything anew.

It is made by `fork` from a process that has loaded what comes from elsewhere, and nothing of Turnwise.
"""

from __future__ import annotations

import ast
import importlib
import importlib.abc
import importlib.util
import os
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import hypothesis
import pytest

from tests.mutants.changes import Mutant, mutated

PROFILE = "mutants"
PLUGINS_OFF = ("cacheprovider", "xdist", "timeout")
_USUAL = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
INI = f"addopts=--import-mode=importlib -m {_USUAL['addopts'].partition(' -m ')[2]}"
"""The tests are those that plain `pytest` runs: others need what is not there, or take minutes."""
OPTIONS = (
    "-x",
    "-q",
    "--no-header",
    f"--hypothesis-profile={PROFILE}",
    f"--override-ini={INI}",
    *[part for name in PLUGINS_OFF for part in ("-p", f"no:{name}")],
)
POLL_S = 0.02


class _Loader(importlib.abc.Loader):
    def __init__(self, tree: ast.Module, path: str) -> None:
        self._tree = tree
        self._path = path

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._tree, self._path, "exec"), module.__dict__)


class _Finder(importlib.abc.MetaPathFinder):
    """Gives one module with a change in it."""

    def __init__(self, name: str, tree: ast.Module, path: str) -> None:
        self._name = name
        self._loader = _Loader(tree, path)
        self._path = path

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        return importlib.util.spec_from_file_location(fullname, self._path, loader=self._loader)


def is_killed(mutant: Mutant | None, tests: Sequence[str], seconds_max: float) -> bool:
    """Whether a test fails, or all together take too long. None is the code as it is."""
    use_profile()
    folder = tempfile.mkdtemp(prefix="mutants-")
    child = os.fork()
    if child == 0:
        _test(mutant, tests, folder)
    deadline = time.monotonic() + seconds_max
    try:
        while time.monotonic() < deadline:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return status != 0
            time.sleep(POLL_S)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return True
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def use_profile() -> None:
    """Name the settings of Hypothesis under which a result can be had again, and is had soon."""
    hypothesis.settings.register_profile(
        PROFILE,
        max_examples=40,
        deadline=None,
        database=None,
        derandomize=True,
        phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
        suppress_health_check=list(hypothesis.HealthCheck),
    )


def silence() -> None:
    """Send what this process writes to nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def overlay(mutant: Mutant, folder: Path) -> None:
    """Make a package in `folder` that is ours but for the changed module: links, and one file."""
    package, *rooms = mutant.module.split(".")
    here = mutant.path.parents[len(rooms) - 1]
    there = folder / package
    for room in rooms:
        there.mkdir()
        for item in here.iterdir():
            if item.name not in {"__pycache__", room, f"{room}.py"}:
                (there / item.name).symlink_to(item)
        here, there = here / room, there / room
    there.with_suffix(".py").write_text(ast.unparse(mutated(mutant)), encoding="utf-8")


def _test(mutant: Mutant | None, tests: Sequence[str], folder: str) -> None:
    """In the child: install the change, run the tests, and never return."""
    code = 1
    try:
        silence()
        os.environ["PYTEST_DEBUG_TEMPROOT"] = folder
        if mutant is not None:
            sys.meta_path.insert(0, _Finder(mutant.module, mutated(mutant), str(mutant.path)))
            # Processes that the tests start find the change too.
            overlay(mutant, Path(folder))
            os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))
            importlib.import_module(mutant.module)  # what cannot be imported is noticed
        code = int(pytest.main([*OPTIONS, *tests]))
    finally:
        os._exit(code)
