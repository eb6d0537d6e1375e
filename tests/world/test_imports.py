from __future__ import annotations

import ast
import warnings
from pathlib import Path

import pytest

from turnwise.world.imports import NotParsed, all_modules, local_modules


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
    "text", ["def", "a b", "\0", "x = " + "-" * 100_000 + "1", "(" * 100_000, "x = " + "a." * 60_000 + "b"]
)
def test_text_that_is_no_python_here(folder: Path, text: str) -> None:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        with pytest.raises(NotParsed):
            local_modules(text, "agent.py", folder)
    else:
        assert local_modules(text, "agent.py", folder) == []


def test_warnings_about_the_text_are_left_to_the_sandbox(folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert local_modules("'\\d' is 3", "agent.py", folder) == []


def test_all_modules_without_what_tools_leave(folder: Path) -> None:
    for name in ("__pycache__/x.py", ".hidden/x.py", "venv/pyvenv.cfg", "venv/x.py", ".x.py", "lib/data.json"):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    (folder / "loop").symlink_to(folder)
    assert list(all_modules(folder)) == [
        "agent.py",
        "both/__init__.py",
        "both.py",
        "lib/__init__.py",
        "lib/deep/__init__.py",
        "lib/deep/bottom.py",
        "lib/side.py",
        "plain/thing.py",
        "random.py",
        "unused.py",
        "words.py",
    ]
