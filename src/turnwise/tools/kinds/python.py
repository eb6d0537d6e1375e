"""Tools that are functions of a Python module: schemas come from their type hints, descriptions from docstrings.

Public functions that the module defines itself are tools. Sync functions run on threads, so that one that waits holds
up no other.
"""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from turnwise.tools.server import ToolAnswers, ToolResult, ToolUnavailableError
from turnwise.tools.spec import ToolSpec


def check(settings: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with settings: key, message, hint."""
    path = settings.get("path")
    if not isinstance(path, str) or not path.endswith(".py"):
        yield "path", "is no Python file", 'Write path = "tools.py", relative to the world\'s folder.'
    for key in sorted(settings.keys() - {"path"}):
        yield key, "unknown key", "Known keys of a python server: path, and those of every server."


def server(settings: Mapping[str, Any], folder: Path) -> PythonServer:
    """Make a server of the functions of a module."""
    return PythonServer(folder / settings["path"])


class PythonServer:
    """The functions of one module."""

    on_change: Callable[[], None]

    def __init__(self, path: Path) -> None:
        self._path = path
        self._functions: dict[str, _Function] = {}

    async def start(self) -> None:
        try:
            module = _load(self._path)
        except Exception as error:  # whatever the module raises
            raise ToolUnavailableError(f"{self._path.name}: {type(error).__name__}: {error}") from error
        for name, value in vars(module).items():
            if inspect.isfunction(value) and not name.startswith("_") and value.__module__ == module.__name__:
                self._functions[name] = _Function(value)

    async def tools(self) -> Sequence[ToolSpec]:
        return [function.spec for function in self._functions.values()]

    async def call(self, name: str, args: Mapping[str, Any], answers: ToolAnswers | None = None) -> ToolResult:
        return await self._functions[name].call(args)

    async def close(self) -> None:
        """Give up nothing: the process ends."""


def _load(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ToolUnavailableError(f"{path} is no Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    sys.path.insert(0, str(path.parent))
    spec.loader.exec_module(module)
    return module


class _Function:
    """One function as a tool."""

    def __init__(self, function: Callable[..., Any]) -> None:
        from pydantic import TypeAdapter

        self._function = function
        self._adapter: TypeAdapter[Any] = TypeAdapter(function)  # type: ignore[arg-type]  # functions are taken, too
        schema = self._adapter.json_schema()
        self._result: TypeAdapter[Any] = TypeAdapter(Any)
        self.spec = ToolSpec(name=function.__name__, description=inspect.getdoc(function) or "", input_schema=schema)

    async def call(self, args: Mapping[str, Any]) -> ToolResult:
        from pydantic import ValidationError
        from pydantic_core import ArgsKwargs

        def run() -> Any:
            return self._adapter.validate_python(ArgsKwargs((), dict(args)))

        try:
            value = run() if inspect.iscoroutinefunction(self._function) else await asyncio.to_thread(run)
            if inspect.isawaitable(value):
                value = await value
        except ValidationError as error:
            return ToolResult(str(error), is_error=True)
        data = self._result.dump_python(value, mode="json")
        return ToolResult(data) if isinstance(data, str) else ToolResult(json.dumps(data, ensure_ascii=False), data)
