from __future__ import annotations

import ast
import sysconfig
import warnings
from pathlib import Path

import pytest

from turnwise.world.meaning.imports import Import, _imports, local_modules

SIDE_AND_DEEP = ["lib/side.py", "lib/deep/__init__.py"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    names = [
        "agent.py",
        "words.py",
        "random.py",
        "both.py",
        "both/__init__.py",
        "lib/__init__.py",
        "lib/deep/__init__.py",
        "lib/deep/bottom.py",
        "lib/side.py",
        "plain/thing.py",
        "turnwise_guest/__init__.py",
        "unused.py",
    ]
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("import words", ["words.py"]),
        ("import words as w, json", ["words.py"]),
        ("import random", ["random.py"]),
        ("import both", ["both/__init__.py"]),
        ("import lib.deep.bottom", ["lib/__init__.py", "lib/deep/__init__.py", "lib/deep/bottom.py"]),
        ("from lib import side", ["lib/__init__.py", "lib/side.py"]),
        ("from lib import side, missing", ["lib/__init__.py", "lib/side.py"]),
        ("from lib import *", ["lib/__init__.py"]),
        ("from lib.deep import bottom as b", ["lib/__init__.py", "lib/deep/__init__.py", "lib/deep/bottom.py"]),
        ("import plain.thing", ["plain/thing.py"]),
        ("from plain import thing", ["plain/thing.py"]),
        ("import plain", []),
        ("from words import word", ["words.py"]),
        ("import words.word", ["words.py"]),
        ("from . import words", ["words.py"]),
        ("from .lib import side", ["lib/__init__.py", "lib/side.py"]),
        ("from .. import words", []),
        ("import turnwise_guest", []),
        ("from turnwise_guest import Turn", []),
        ("import json, os.path, missing", []),
        ("def f():\n    try:\n        import words\n    except ImportError:\n        pass", ["words.py"]),
        ("if TYPE_CHECKING:\n    import words", ["words.py"]),
        ("import words\nimport lib\nimport words", ["words.py", "lib/__init__.py"]),
        ("'import words'  # import words", []),
        ('def f():\n    """Says:\n    import words\n    """\n    import lib', ["lib/__init__.py"]),
        ("x = r'\\\\'; import words", ["words.py"]),
        ("x = 'a\\\n;import words'", []),
        ("x = f'{d[\"a\"]}'; import words", ["words.py"]),
        ("'''it's'''; import words", ["words.py"]),
        ('"it\'s"; import words', ["words.py"]),
        ("import \\\n  words", ["words.py"]),
        ("from lib import (  # import words\n  side as s,\n  deep,\n)", ["lib/__init__.py", *SIDE_AND_DEEP]),
        ("from . lib . deep import bottom", ["lib/__init__.py", "lib/deep/__init__.py", "lib/deep/bottom.py"]),
        ("from.lib import side", ["lib/__init__.py", "lib/side.py"]),
        ("import lib . side", ["lib/__init__.py", "lib/side.py"]),
        ("if x: import words; import lib", ["words.py", "lib/__init__.py"]),
        ("import \uff57ords", ["words.py"]),
        ("important = 1\nfrom_ = 2\nraise E from words", []),
        ("x = (yield\n  from words)", []),
        ("import words\r\nimport lib\r\n", ["words.py", "lib/__init__.py"]),
        # Syntax that only Pythons newer than 3.11 know, and such that none knows:
        ("type X = int\ndef f[T](x: T): ...\nx = t'{1}'\nimport words\n'import lib'", ["words.py"]),
        ("except A, B:\n  import words\n'''\nimport lib\n", ["words.py"]),
        ("def (:\n  import words\n# import lib", ["words.py"]),
        ("", []),
    ],
)
def test_what_a_module_imports(folder: Path, text: str, files: list[str]) -> None:
    assert local_modules(text, "agent.py", folder) == files


@pytest.mark.parametrize(
    ("name", "text", "files"),
    [
        ("lib/side.py", "from . import deep", ["lib/__init__.py", "lib/deep/__init__.py"]),
        ("lib/side.py", "from .deep import bottom", ["lib/__init__.py", "lib/deep/__init__.py", "lib/deep/bottom.py"]),
        ("lib/side.py", "from .. import words", ["words.py"]),
        ("lib/side.py", "from ... import words", []),
        ("lib/side.py", "import words", ["words.py"]),
        ("lib/__init__.py", "from .side import x", ["lib/__init__.py", "lib/side.py"]),
        ("lib/deep/bottom.py", "from ..side import x", ["lib/__init__.py", "lib/side.py"]),
    ],
)
def test_what_a_module_in_a_package_imports(folder: Path, name: str, text: str, files: list[str]) -> None:
    assert local_modules(text, name, folder) == files


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("import words", ["words.py"]),
        ("  import words as w, json, lib.side # comment", ["words.py", "lib/__init__.py", "lib/side.py"]),
        ("from lib import side as s, deep", ["lib/__init__.py", "lib/side.py", "lib/deep/__init__.py"]),
        ("from lib import (  # why\n  side,\n  deep\n)", ["lib/__init__.py", "lib/side.py", "lib/deep/__init__.py"]),
        ("from lib import \\\n  side", ["lib/__init__.py", "lib/side.py"]),
        ("from lib import(side)", ["lib/__init__.py", "lib/side.py"]),
        ("from . import words", ["words.py"]),
        ("from .lib.deep import bottom", ["lib/__init__.py", "lib/deep/__init__.py", "lib/deep/bottom.py"]),
        ("x = 1; import words", ["words.py"]),
        ("try: import words", ["words.py"]),
        ("from lib import *", ["lib/__init__.py"]),
        ("# import words\nimported words\nimport words_more", []),
    ],
)
def test_imports_are_found_in_text_that_does_not_parse(folder: Path, text: str, files: list[str]) -> None:
    assert local_modules(f"{text}\nthis is no python\n", "agent.py", folder) == files


@pytest.mark.parametrize(
    "text",
    [
        "\0\nimport words",
        "import words\nx = " + "-" * 100_000 + "1",
        "import words\n" + "(" * 100_000,
        "import words\nx = " + "a." * 60_000 + "b",
        "import words\n" + "from x import (" * 20_000,
        "import words, " + "x" * 300 + ", " + ".".join("x" * 2_000),
    ],
    ids=["null", "minus", "parentheses", "attributes", "open", "long"],
)
def test_hostile_text_is_read(folder: Path, text: str) -> None:
    assert local_modules(text, "agent.py", folder) == ["words.py"]


@pytest.mark.parametrize("package", ["asyncio", "email", "importlib", "json", "xml"])
def test_it_finds_what_the_parser_of_this_python_finds(package: str) -> None:
    """The parser is not asked, since others know other syntax; where it knows all of it, both say the same."""
    found = 0
    for path in sorted((Path(sysconfig.get_path("stdlib")) / package).rglob("*.py")):
        text = path.read_text("utf-8")
        expected: set[Import] = set()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                expected |= {(0, alias.name, ()) for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names = tuple(alias.name for alias in node.names if alias.name != "*")
                expected.add((node.level, node.module or "", names))
        assert set(_imports(text)) == expected, path
        found += len(expected)
    assert found > 10


def test_warnings_about_the_text_are_left_to_the_sandbox(folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert local_modules("'\\d' is 3", "agent.py", folder) == []
