"""Code that is one expression takes a shorter way, and comes to the same as by the long one."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from turnwise_guest.runtime import run_python

CODES = (
    "1 + input",
    "",
    "pass",
    "x = 3",
    "x = 3\nx + 1",
    "(yield)",
    "await x",
    "return 3",
    " 1 + 1",
    "\t1",
    "1 +",
    "1 + 1  # a comment",
    "# a comment",
    "'text'",
    "'''docstring'''",
    "b'bytes'",
    "r'\\d'",
    "1; 2",
    "lambda: 1",
    "(y := 4)",
    "[n for n in range(input)]",
    "1 / 0",
    "unknown",
    "f'{input!r}'",
    "{1, 2}",
    "float('nan')",
    "raise ValueError('x')",
    "__import__('sys').exit(3)",
    "print('printed')",
    "sum(range(input))",
    "locals() is globals()",
    "__name__",
    "x: int = 3",
    "1 if",
    "print 1",
    "not " * 100 + "1",
    "(" * 150 + "1" + ")" * 150,
    "(" * 250 + "1" + ")" * 250,
    "1" + "+1" * 700,
    "\ufeff1",
    "1\0",
    "'\ud800'",
)


@pytest.fixture
def main() -> Iterator[None]:
    before = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = before


@pytest.mark.usefixtures("main")
@pytest.mark.parametrize("code", CODES)
def test_both_ways_come_to_the_same(
    code: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run_python.run(code, 5), capsys.readouterr()
    monkeypatch.setattr(run_python, "_expression", lambda _: None)
    assert (run_python.run(code, 5), capsys.readouterr()) == found


@pytest.mark.usefixtures("main")
def test_an_expression_is_compiled_without_a_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_python.ast, "parse", None)
    assert run_python.run("sum(range(input))", 5) == {"value": 10}
    with pytest.raises(TypeError, match="NoneType"):
        run_python._execute("x = 1", {})
