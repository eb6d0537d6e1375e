"""The runner itself: a change that changes nothing survives, and one that matters does not."""

from __future__ import annotations

import ast
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.mutants.__main__ import AREAS, ROOT, came_of, explained, mutants, quickest
from tests.mutants.changes import Mutant, changes, mutants_of, mutated
from tests.mutants.results import Results
from tests.mutants.run import overlay
from tests.mutants.swap import replace, replacements
from tests.mutants.warm import Verdict

CODE = '''
"""A docstring."""
LIMIT: int = 3

def below(value, strict=True):
    """Another."""
    if strict and not value < LIMIT:
        return "text"
    value += 1
    return -value
'''
NAMES = [
    "module: 3 is 4",
    "below: True is False",
    "below: `strict and (not value < LIMIT)` is True",
    "below: `strict and (not value < LIMIT)` is False",
    "below: `strict and (not value < LIMIT)` with Or",
    "below: `not value < LIMIT` without not",
    "below: `value < LIMIT` with LtE",
    "below: `return 'text'` returns None",
    "below: leave out `value += 1`",
    "below: 1 is 2",
    "below: `return -value` returns None",
    "below: `-value` without minus",
]


def test_changes_are_named_and_each_gives_another_program(tmp_path: Path) -> None:
    path = tmp_path / "m.py"
    path.write_text(CODE)
    found = mutants_of("m", path)
    assert [mutant.name for mutant in found] == NAMES
    texts = {ast.unparse(mutated(mutant)) for mutant in found}
    assert len(texts) == len(NAMES)
    assert ast.unparse(ast.parse(CODE)) not in texts
    for text in texts:
        compile(text, "m.py", "exec")


def test_results_are_kept_for_as_long_as_the_module_is_the_same(tmp_path: Path) -> None:
    path, kept = tmp_path / "m.py", tmp_path / "results"
    path.write_text(CODE)
    killed, survived, untried = mutants_of("m", path)[:3]
    results = Results(kept)
    results.add(killed, "tests/test_m.py::test_it", 3)
    results.add(survived, None, 2)

    def known(again: bool = False) -> list[str | bool | None]:
        found = [Results(kept, again).known(mutant) for mutant in (killed, survived, untried)]
        return [result is not None and result.killer for result in found]

    assert known() == ["tests/test_m.py::test_it", None, False]
    assert known(again=True) == ["tests/test_m.py::test_it", False, False]
    results.add(survived, "another test", 2)
    assert known(again=True) == ["tests/test_m.py::test_it", "another test", False]
    path.write_text(CODE + "\n")
    assert known() == [False, False, False]


def test_what_is_explained_exists_once() -> None:
    keys = [mutant.key for area in AREAS for mutant in mutants(area)]
    assert len(set(keys)) == len(keys)
    assert set(explained()) <= set(keys)
    assert all(explained().values())


PROGRAM = """
import ast, sys
from tests.mutants import run, swap, warm
from tests.mutants.__main__ import ROOT
from tests.mutants.changes import mutants_of

name, how, test, *texts = sys.argv[1:]
path = ROOT / f"src/turnwise/core/{name}.py"
tests = [str(ROOT / test)]
mutants = [next(m for m in mutants_of(f"turnwise.core.{name}", path) if m.name == text) for text in texts]
if how == "unchanged":
    real = warm.replacements
    run.mutated = lambda _: ast.parse(path.read_text())
    codes = {swap.place_of(code): code for code in swap.functions(compile(path.read_text(), str(path), "exec"))}
    warm.replacements = lambda mutant: real(mutant) and codes
with warm.Warm(tests, frozenset([str(path)])) as process:
    assert process.failed is None, process.failed
    for mutant in mutants:
        verdict = process.verdict(mutant)
        killer = verdict.killer and verdict.killer.partition("::")[0]
        print(killer, verdict.anew, verdict.reached > 0, run.is_killed(mutant, tests, 120.0) if verdict.anew else "")
"""


def tried(name: str, how: str, *texts: str, test: str | None = None) -> list[list[str]]:
    command = [sys.executable, "-c", PROGRAM, name, how, test or f"tests/core/test_{name}.py", *texts]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [line.split() for line in done.stdout.splitlines()]


IN_FUNCTIONS = ["reaches: `entry == name` with NotEq", "may_spawn: `kind in layer.spawn` with NotIn"]


def test_a_change_that_matters_is_noticed_and_no_change_is_not() -> None:
    noticed, unnoticed = ["tests/core/test_grants.py", "False", "True"], ["None", "False", "True"]
    assert tried("grants", "changed", *IN_FUNCTIONS) == [noticed] * 2
    assert tried("grants", "unchanged", *IN_FUNCTIONS) == [unnoticed] * 2


@pytest.mark.exhaustive
def test_what_runs_at_import_is_tried_in_a_process_that_imports_it_anew() -> None:
    change = "module: 4300 is 4301"
    assert tried("json_text", "changed", change) == [["None", "True", "False", "True"]]
    assert tried("json_text", "unchanged", change) == [["None", "True", "False", "False"]]


LAZY = """
def test_it():
    from turnwise.core.grants import may_finish
    from turnwise.core.plan import KindGrants
    assert may_finish([KindGrants(finish=True)])
    assert not may_finish([KindGrants(finish=True), KindGrants()])
"""


def test_a_module_that_only_a_running_test_imports_has_the_change(tmp_path: Path) -> None:
    file = tmp_path / "test_lazy.py"
    file.write_text(LAZY)
    change = "may_finish: `return all((layer.finish for layer in layers))` returns None"
    ((noticed, *more),) = tried("grants", "changed", change, test=str(file))
    # It is named from wherever pytest takes the root of such a file to be.
    assert (Path(noticed).name, more) == ("test_lazy.py", ["False", "True"])
    assert tried("grants", "unchanged", change, test=str(file)) == [["None", "False", "True"]]


TWO_OF_ONE_PLACE = """
def outer():
    return [lambda: 1, lambda: 2]

def alone():
    return 3

if alone() == 4:
    def absent():
        return 5
"""


def test_a_change_that_cannot_be_put_in_place_is_not_taken_to_be(tmp_path: Path) -> None:
    path = tmp_path / "m.py"
    path.write_text(TWO_OF_ONE_PLACE)
    names: dict[str, Any] = {}
    exec(compile(TWO_OF_ONE_PLACE, str(path), "exec"), names)
    live = [names["outer"], names["alone"]]
    found = {mutant.name: mutant for mutant in mutants_of("m", path)}
    codes = {name: replacements(found[name]) for name in ("outer: 1 is 2", "alone: 3 is 4", "absent: 5 is 6")}
    assert codes["outer: 1 is 2"] is None
    assert replace(live, codes["alone: 3 is 4"] or {})
    assert names["alone"]() == 4
    assert not replace(live, codes["absent: 5 is 6"] or {})


def test_a_statement_has_its_own_lines_only() -> None:
    code = """
    if (a and
        b):
        c = 1
    elif d:
        e = (2 +
             3)
    """
    found = {change.name: change.lines for change in changes(ast.parse(textwrap.dedent(code)))}
    assert found["module: `a and b` is True"] == range(2, 4)
    assert found["module: 1 is 2"] == range(4, 5)
    assert found["module: `d` is False"] == range(5, 6)
    assert found["module: `2 + 3` with Sub"] == range(6, 8)


def test_processes_that_tests_start_find_the_change(tmp_path: Path) -> None:
    mutant = next(m for m in mutants("sandbox/pool") if m.module == "turnwise.sandbox.pool.worker")
    overlay(mutant, tmp_path)
    code = "import turnwise.sandbox.pool.worker as w, turnwise.core as c; print(w.__file__); print(c.__file__)"
    environment = {"PATH": "", "PYTHONPATH": f"{tmp_path}:{ROOT / 'src'}"}
    done = subprocess.run([sys.executable, "-P", "-c", code], env=environment, capture_output=True, text=True)
    worker, core = done.stdout.split()
    assert worker == str(tmp_path / "turnwise" / "sandbox" / "pool" / "worker.py")
    assert Path(worker).read_text() == ast.unparse(mutated(mutant))
    assert Path(core).resolve() == ROOT / "src" / "turnwise" / "core" / "__init__.py"


class Unreached:
    """A process of tests that reach nothing themselves."""

    seconds_by_test: ClassVar[dict[str, float]] = {}

    def verdict(self, mutant: Mutant) -> Verdict:
        return Verdict(None, reached=0)


def test_what_only_a_process_of_a_test_runs_is_tried_there(tmp_path: Path) -> None:
    """The first of two changes is in what the process runs; the other is not."""
    file = tmp_path / "test_worker_process.py"
    file.write_text(
        "import subprocess, sys\n"
        "def test_it():\n"
        '    code = \'from turnwise.sandbox.execute.executor import with_program as w; print(w(bytes(b"{1}"), b""))\'\n'
        "    done = subprocess.run([sys.executable, '-P', '-c', code], capture_output=True, text=True)\n"
        "    assert done.stdout == \"b'{1'\\n\"\n"
    )
    warm: Any = Unreached()
    warm.seconds_by_test = {str(file): 1.0}
    found = {m.key: m for m in mutants("sandbox/execute") if m.module == "turnwise.sandbox.execute.executor"}
    noticed = found["turnwise.sandbox.execute.executor with_program: 1 is 2"]
    assert came_of(noticed, warm, []) == ("a test after importing anew", 0)
    other = found["turnwise.sandbox.execute.executor Executor.load: `len(self._programs) - 1` with Add"]
    assert came_of(other, warm, []) == (None, 0)


class AtImport:
    """A process of tests that finds that a change is in what runs at import, and notes which tests are asked for."""

    def __init__(self, test: Path) -> None:
        self.seconds_by_test = {str(test): 1.0}
        self.files = {"tests/core/test_unguarded.py", "tests/core/test_grants.py"}
        self.asked: set[str] = set()

    def verdict(self, mutant: Mutant) -> Verdict:
        return Verdict(None, anew=True)

    def tests_that_reach(self, mutant: Mutant, lines: set[object], files: set[str]) -> list[str]:
        self.asked |= files
        return []


def test_what_a_decorator_makes_at_import_is_tried_by_the_tests_of_its_module(tmp_path: Path) -> None:
    test = tmp_path / "test_nothing.py"
    test.write_text("def test_it():\n    pass\n")
    warm: Any = AtImport(test)
    mutant = next(m for m in mutants("core") if m.module == "turnwise.core.unguarded" and "leave out" in m.name)
    assert came_of(mutant, warm, [mutant.path]) == (None, 0)
    assert warm.asked == {"tests/core/test_unguarded.py"}


def test_the_quickest_tests_come_first_up_to_a_bound() -> None:
    seconds = {"a": 3.0, "b": 1.0, "c": 2.0}
    assert quickest(seconds, 3.0) == ["b", "c"]
    assert quickest(seconds, 0.5) == []
    assert quickest(seconds, 1e9) == ["b", "c", "a"]
