"""The runner itself: a change that changes nothing survives, and one that matters does not."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutants.__main__ import ROOT, explained, mutants
from tests.mutants.changes import mutants_of, mutated

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


def test_what_is_explained_exists_once() -> None:
    keys = [mutant.key for mutant in mutants("core") + mutants("journal")]
    assert len(set(keys)) == len(keys)
    assert set(explained()) <= set(keys)
    assert all(explained().values())


PROGRAM = """
import sys
from tests.mutants.changes import mutants_of
from tests.mutants import run
from tests.mutants.__main__ import ROOT

path = ROOT / "src/turnwise/core/grants.py"
tests = [str(ROOT / "tests/core/test_grants.py")]
mutant = next(m for m in mutants_of("turnwise.core.grants", path) if m.name == sys.argv[1])
if sys.argv[2] == "unchanged":
    import ast
    run.mutated = lambda _: ast.parse(path.read_text())
print(run.is_killed(mutant, tests, 120.0))
"""


@pytest.mark.parametrize(("change", "killed"), [("changed", "True"), ("unchanged", "False")])
def test_a_change_that_matters_is_noticed_and_no_change_is_not(change: str, killed: str) -> None:
    name = "reaches: `entry == name` with NotEq"
    command = [sys.executable, "-c", PROGRAM, name, change]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == killed
