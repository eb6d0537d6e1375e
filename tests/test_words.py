"""Docstrings begin with what they describe, and a class name stands for one class."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent
SOURCES: Final = ROOT / "src" / "turnwise"
GUESTS: Final = ROOT / "guests" / "python"

pytestmark = pytest.mark.skipif(not SOURCES.is_dir(), reason="the sources lie in the source tree")

RIDDLE: Final = re.compile(r"(What|Which|How|Nothing|Nobody|Who|Whose|Whether|Where|When|Why)\b")
"""First words that leave the reader to guess the subject. A verb or a noun says it."""

REPEATED: Final = {
    "World": "`turnwise.World` is the one of `world/` that can also be run, which that folder knows nothing of",
}
"""Class names that stand for several classes, and why no reader meets two of them."""


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and text of each docstring: of modules, classes, functions, fields and constants."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else ():
            match statement:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    yield statement.lineno, text


def riddles(source: str) -> list[tuple[int, str]]:
    """Return line and first line of each docstring in `source` that begins with a riddle."""
    found = ((line, text.strip().partition("\n")[0]) for line, text in texts(ast.parse(source)))
    return [(line, first) for line, first in found if RIDDLE.match(first)]


def repeated(sources: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the class names that stand for several classes in `sources`, and the sources of each."""
    places = defaultdict(list)
    for name, source in sources.items():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(name)
    return {name: found for name, found in sorted(places.items()) if len(found) > 1}


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    found = {str(path.relative_to(SOURCES)): path.read_text("utf-8") for path in sorted(SOURCES.rglob("*.py"))}
    assert "errors.py" in found
    return found


def test_no_docstring_begins_with_a_riddle(sources: Mapping[str, str]) -> None:
    guests = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in sorted(GUESTS.rglob("*.py"))}
    assert "guests/python/turnwise_guest/turn.py" in guests
    every = {**sources, **guests}
    found = [f"{name}:{line}: {first}" for name, source in every.items() for line, first in riddles(source)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ('"""What a module is about."""\n', 1),
        ('class One:\n    """Nothing is held."""\n', 2),
        ('class One:\n    size: int\n    """How large it is."""\n', 3),
        ('def one():\n    """\n    Whether it is there.\n    """\n', 2),
        ('async def one():\n    """Who waits."""\n', 2),
        ('class One:\n    def two(self):\n        """Which of them."""\n', 3),
        ('SIZE = 1\n"""Where it is."""\n', 2),
        ('if True:\n    SIZE = 1\n    """Nobody needs more."""\n', 3),
    ],
)
def test_a_riddle_is_found_wherever_a_docstring_stands(source: str, line: int) -> None:
    assert [found for found, _ in riddles(source)] == [line]


@pytest.mark.parametrize(
    "source",
    [
        '"""However it comes: a word that only begins alike."""\n',
        'class One:\n    """Size of one. What is larger is refused."""\n',
        'def one():\n    text = "What is said"\n',
    ],
)
def test_other_texts_are_no_riddles(source: str) -> None:
    assert riddles(source) == []


def test_a_class_name_stands_for_one_class(sources: Mapping[str, str]) -> None:
    found = repeated(sources)
    assert set(found) <= set(REPEATED), {name: found[name] for name in set(found) - set(REPEATED)}


def test_the_list_of_repeated_class_names_holds_no_name_that_is_gone(sources: Mapping[str, str]) -> None:
    assert set(REPEATED) <= set(repeated(sources))


def test_a_repeated_class_name_is_found() -> None:
    assert repeated({"a.py": "class One: ...", "b.py": "def f():\n    class One: ...\n", "c.py": "class Two: ..."}) == {
        "One": ["a.py", "b.py"]
    }
