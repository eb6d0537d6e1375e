"""Kind `python`: which functions are tools, how they are called, and what becomes of their errors."""

from __future__ import annotations

import asyncio
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.tools.kinds.serving import call, calls, tools
from turnwise.tools.kinds.python import PythonServer, check, server, settings_of
from turnwise.tools.kinds.settings import SettingsError
from turnwise.tools.server import ToolResult, ToolUnavailableError

CALC = '''
"""Calculations."""
from __future__ import annotations

import json
from dataclasses import dataclass
from math import sqrt
from os.path import join

import helper


@dataclass
class Point:
    x: int
    y: int


def add(a: int, b: int = 10) -> int:
    """Add two numbers."""
    return a + b


def shout(text: str) -> str:
    return text.upper()


async def swap(point: Point) -> Point:
    return Point(point.y, point.x)


def helped() -> str:
    return helper.WORD


def nothing() -> None:
    print("printed")


def untyped(a):
    return {"a": a, 2: (1, 2)}


def _hidden():
    return 1


constant = 3
'''


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Forget the modules and folders that a server in this process takes in."""
    modules, folders = set(sys.modules), list(sys.path)
    yield
    sys.path[:] = folders
    for name in set(sys.modules) - modules:
        if name.startswith("tools_of_") or name == "helper":
            del sys.modules[name]


def made(folder: Path, source: str = CALC, **settings: Any) -> PythonServer:
    (folder / "calc.py").write_text(textwrap.dedent(source), encoding="utf-8")
    (folder / "helper.py").write_text("WORD = 'help'\n", encoding="utf-8")
    return server({"path": "calc.py", **settings}, folder)


def test_the_functions_of_the_module_itself_are_tools(tmp_path: Path) -> None:
    listed = tools(made(tmp_path))
    assert list(listed) == ["add", "shout", "swap", "helped", "nothing", "untyped"]
    assert listed["add"].description == "Add two numbers."
    assert listed["add"].input_schema == {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer", "default": 10}},
        "required": ["a"],
        "additionalProperties": False,
    }
    assert listed["add"].output_schema == {"type": "integer"}
    assert not listed["add"].pure


def test_results(tmp_path: Path) -> None:
    results = calls(
        made(tmp_path),
        ("add", {"a": 1}),
        ("shout", {"text": "a"}),
        ("swap", {"point": {"x": 1, "y": 2}}),
        ("helped", {}),
        ("nothing", {}),
        ("untyped", {"a": [None]}),
    )
    assert results == [
        ToolResult("11", 11),
        ToolResult("A"),
        ToolResult('{"x": 2, "y": 1}', {"x": 2, "y": 1}),
        ToolResult("help"),
        ToolResult(""),
        ToolResult('{"a": [null], "2": [1, 2]}', {"a": [None], "2": [1, 2]}),
    ]
    listed = tools(made(tmp_path))
    jsonschema.validate(results[2].data, listed["swap"].output_schema)


def test_arguments_that_do_not_fit(tmp_path: Path) -> None:
    result = call(made(tmp_path), "add", {"a": "1"})
    assert result == ToolResult("the arguments do not fit: Expected `int`, got `str` - at `$.a`", is_error=True)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise ValueError('no such city')", "ValueError: no such city"),
        ("raise KeyError", "KeyError"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("return object()", "TypeError: Encoding objects of type object is unsupported"),
        ("return float('nan')", "ValueError: Out of range float values are not JSON compliant"),
        ("raise RuntimeError('x' * 100_000)", "RuntimeError: " + "x" * (4000 - 14)),
        ("raise Silent", "Silent: an error that cannot be shown"),
        ("return one()", "RecursionError: maximum recursion depth exceeded"),
    ],
)
@pytest.mark.parametrize("how", ["def", "async def"])
def test_errors_are_results(tmp_path: Path, body: str, said: str, how: str, capfd: pytest.CaptureFixture[str]) -> None:
    if how == "async def":
        body = body.replace("one()", "await one()")
    source = f"class Silent(Exception):\n    def __str__(self): raise ValueError\n{how} one():\n    {body}\n"
    result = call(made(tmp_path, source), "one")
    assert result.is_error
    assert result.text.startswith(said)
    assert "Traceback" in capfd.readouterr().err


def test_calls_run_at_once(tmp_path: Path) -> None:
    """Each of three functions waits for the two others, one of them on the event loop."""
    source = """
    import asyncio, threading
    barrier = threading.Barrier(3, timeout=60)
    def one(): return barrier.wait() * 0
    async def two(): return await asyncio.to_thread(barrier.wait) * 0
    """

    async def run() -> list[Any]:
        one = made(tmp_path, source)
        await one.start()
        results = await asyncio.gather(one.call("one", {}), one.call("one", {}), one.call("two", {}))
        await one.close()
        return results

    assert [result.data for result in asyncio.run(run())] == [0, 0, 0]


def test_a_cancelled_coroutine_is_cancelled(tmp_path: Path) -> None:
    source = """
    import asyncio
    seen = []
    async def wait():
        seen.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("ended")
    """

    async def run() -> list[str]:
        one = made(tmp_path, source)
        await one.start()
        task = asyncio.create_task(one.call("wait", {}))
        seen: list[str] = sys.modules["tools_of_calc"].seen
        while not seen:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return seen

    assert asyncio.run(run()) == ["begun", "ended"]


def test_the_functions_can_be_named(tmp_path: Path) -> None:
    assert list(tools(made(tmp_path, functions=["shout", "_hidden", "sqrt"]))) == ["shout", "_hidden", "sqrt"]
    assert list(tools(made(tmp_path, CALC + "\n__all__ = ['sqrt', 'add', 'Point']\n"))) == ["add"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def one(*numbers): ...", "calc.py: `one`: a tool's parameters have names"),
        ("constant = 1", "calc.py: it has no functions"),
        ("def one(", "calc.py cannot be imported: SyntaxError"),
        ("1 / 0", "calc.py cannot be imported: ZeroDivisionError: division by zero"),
        ("import sys; sys.exit('bye')", "calc.py cannot be imported: SystemExit: bye"),
        ("def zwölf(): ...", "`zwölf` is no name for a tool"),
    ],
)
def test_modules_without_tools(tmp_path: Path, source: str, said: str) -> None:
    with pytest.raises(ToolUnavailableError) as caught:
        tools(made(tmp_path, source))
    assert said in str(caught.value)


def test_a_file_that_is_called_like_a_module_of_ours_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("def one() -> int: return 1\n", encoding="utf-8")
    import json

    one = server({"path": "json.py"}, tmp_path)
    assert call(one, "one").data == 1
    assert sys.modules["json"] is json


def test_an_installed_module(tmp_path: Path) -> None:
    one = server({"module": "textwrap", "functions": ["dedent"]}, tmp_path)
    assert call(one, "dedent", {"text": "  a"}) == ToolResult("a")
    with pytest.raises(ToolUnavailableError, match="nowhere_at_all cannot be imported: ModuleNotFoundError"):
        tools(server({"module": "nowhere_at_all"}, tmp_path))


def test_an_agent_is_told_which_function_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ToolUnavailableError, match="it has no function `subtract`"):
        tools(made(tmp_path, functions=["subtract"]))


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({}, "path"),
        ({"path": "calc.py", "module": "calc"}, "path"),
        ({"path": "calc.txt"}, "path"),
        ({"module": "../calc"}, "module"),
        ({"path": "calc.py", "functions": "add"}, "functions"),
        ({"path": "calc.py", "threads_max": 0}, "threads_max"),
        ({"path": "calc.py", "paths": []}, "paths"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], key: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings_of(settings)
    assert caught.value.key == key
    assert [(found, bool(message), bool(hint)) for found, message, hint in check(settings)] == [(key, True, True)]
