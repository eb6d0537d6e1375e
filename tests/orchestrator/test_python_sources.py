from __future__ import annotations

from pathlib import Path

import pytest

from turnwise.orchestrator.python_sources import python_problems
from turnwise.sandbox.python import module_info
from turnwise.world import Agent, World

MODULES = ("json", "os", "os.path", "collections", "collections.abc")
TURN = "def turn(t):\n    pass\n"


def problems(text: str, files: dict[str, str] | None = None, folder: Path | None = None) -> list[tuple[str, str]]:
    """(place, message) of each problem of an agent with this source."""
    if folder is not None:
        for name, content in {"a.py": text, **(files or {})}.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(content)
    world = World("w", agents={"a": Agent("a.py" if folder is not None else text)}, folder=folder)
    found = python_problems(world.resolve(), MODULES)
    assert all(problem.where.startswith('World("w"): agents.a.source: a.py') or folder for problem in found)
    return [(problem.where.rpartition(" ")[2], problem.message) for problem in found]


@pytest.mark.parametrize(
    ("line", "module"),
    [
        ("import requests", "requests"),
        ("import numpy.linalg as la", "numpy"),
        ("from pandas import DataFrame", "pandas"),
        ("import json, requests", "requests"),
        ("if True:\n    import requests", "requests"),
        ("try:\n    import requests\nfinally:\n    pass", "requests"),
        ("try:\n    pass\nexcept ValueError:\n    import requests", "requests"),
        ("try:\n    import requests\nexcept ValueError:\n    pass", "requests"),
        ("def f():\n    import requests", "requests"),
        ("class A:\n    def f(self):\n        import requests", "requests"),
        ("match 1:\n    case 1:\n        import requests", "requests"),
    ],
)
def test_an_import_that_no_agent_has_is_found(line: str, module: str) -> None:
    text = f"{line}\n{TURN}"
    number = 1 + next(i for i, part in enumerate(text.splitlines()) if module in part)
    assert problems(text) == [(f"a.py:{number}", f"no agent can import {module}")]


@pytest.mark.parametrize(
    "line",
    [
        "import json, os.path",
        "from collections.abc import Mapping",
        "from turnwise_guest import Turn",
        "from __future__ import annotations",
        "try:\n    import requests\nexcept ImportError:\n    requests = None",
        "try:\n    import requests\nexcept (ValueError, ModuleNotFoundError):\n    requests = None",
        "try:\n    import requests\nexcept Exception:\n    pass",
        "try:\n    import requests\nexcept:\n    pass",
        "import typing\nif typing.TYPE_CHECKING:\n    import requests".replace("import typing\n", ""),
        "if TYPE_CHECKING:\n    import requests",
        "text = 'import requests'",
    ],
)
def test_what_agents_have_or_do_without_is_no_problem(line: str) -> None:
    assert problems(f"{line}\n{TURN}") == []


def test_each_module_is_said_once_a_file_and_local_ones_are_known(tmp_path: Path) -> None:
    files = {"near.py": "import requests\nfrom . import other\n", "pack/__init__.py": "import json\n"}
    text = "import near, pack\nimport numpy\nimport numpy.linalg\n" + TURN
    assert problems(text, files, tmp_path) == [
        ("a.py:2", "no agent can import numpy"),
        ("near.py:1", "no agent can import requests"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "x = 1\n",
        "def turns(t):\n    pass\n",
        "class A:\n    def turn(self):\n        pass\n",
        "def f():\n    turn = 1\n",
        "print(turn)\nx = 1\n",
    ],
)
def test_a_missing_turn_is_found(text: str) -> None:
    assert problems(text) == [("a.py", "it has no function turn")]


def test_an_async_turn_is_found() -> None:
    assert problems("x = 1\nasync def turn(t):\n    pass\n") == [("a.py:2", "turn is an async function")]


@pytest.mark.parametrize(
    "text",
    [
        TURN,
        "turn = lambda t: None\nx = 1\n",
        "if 1:\n    def turn(t):\n        pass\n",
        "from json import loads as turn\nx = 1\n",
        "from json import *\nx = 1\n",
        "def __getattr__(name):\n    return print\n",
        "for turn in (print,):\n    pass\n",
        "class turn:\n    pass\n",
        "def turn(t:\n    pass\n",  # wrong in another way, which the interpreter says
    ],
)
def test_a_turn_that_is_there_or_may_be_is_no_problem(text: str) -> None:
    assert problems(text) == []


def test_the_interpreter_says_what_it_offers() -> None:
    assert {"json", "math", "random"} <= set(module_info().modules)
    assert not {"requests", "numpy", "torch"} & set(module_info().modules)
