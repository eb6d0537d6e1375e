"""Kind `python`: functions of a module as tools.

The module runs with all that a Python program has, in a process of its own; nothing of it is confined. What it prints
goes to the error output of the process, and never between the answers.
"""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import importlib.util
import json
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Annotated, Any, Final

import msgspec

from turnwise.tools.kinds.python_function import Function, FunctionError, functions_of_file, read_function
from turnwise.tools.kinds.settings import SettingsError, problems, read_settings, without_secrets
from turnwise.tools.server import ToolAnswers, ToolResult, ToolUnavailableError
from turnwise.tools.spec import TOOL_NAME, ToolSpec

ERROR_CHARS_MAX: Final = 4_000
PATH_HINT: Final = 'Write path = "tools.py", relative to the world\'s folder.'
MODULE_PREFIX: Final = "tools_of_"
"""Beginning of the name that a module has which is given as a file."""


class PythonSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the kind.

    `path`: the file of the module, relative to the world file; or `module`: the name of one that is installed.
    `functions`: functions that are tools; by default those of `__all__`, or else those that the module itself defines
    and whose names do not begin with `_`. `threads_max`: functions that run at once, those that are `async` aside.
    """

    path: str | None = None
    module: str | None = None
    functions: tuple[str, ...] | None = None
    threads_max: Annotated[int, msgspec.Meta(ge=1, le=256)] = 16


def settings_of(settings: Mapping[str, Any]) -> PythonSettings:
    """Return the settings. Raises `SettingsError`."""
    found = read_settings(PythonSettings, settings)
    if (found.path is None) == (found.module is None):
        raise SettingsError("path", "either it or `module` is given", PATH_HINT)
    if found.path is not None and not found.path.endswith(".py"):
        raise SettingsError("path", "is no Python file", PATH_HINT)
    if found.module is not None and not all(part.isidentifier() for part in found.module.split(".")):
        raise SettingsError("module", "is no name of a module", 'For example module = "package.calc".')
    return found


def check(settings: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with settings: key, message, hint."""
    yield from problems(settings_of, settings)


def names(settings: Mapping[str, Any], folder: Path) -> Sequence[str] | None:
    """Return the names of its tools, as far as they are known without starting it."""
    found = settings_of(without_secrets(settings))
    if found.functions is not None:
        return found.functions
    return None if found.path is None else functions_of_file(folder / found.path)


def server(settings: Mapping[str, Any], folder: Path) -> PythonServer:
    """Make a server of the kind; `folder` is the world's. Raises `SettingsError`."""
    return PythonServer(settings_of(settings), folder)


class PythonServer:
    """Server of the functions of one module."""

    on_change: Callable[[], None]
    """Called by none: the list never becomes another."""

    def __init__(self, settings: PythonSettings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self._name = settings.path or settings.module or ""
        self._functions: dict[str, Function] = {}
        self._threads: ThreadPoolExecutor | None = None

    async def start(self) -> None:
        """Import the module, and read its functions."""
        module = self._import()
        try:
            self._functions = {name: read_function(name, getattr(module, name)) for name in self._names(module)}
        except FunctionError as error:
            raise ToolUnavailableError(f"{self._name}: {error}") from None
        self._threads = ThreadPoolExecutor(self._settings.threads_max, "turnwise-tool")

    async def tools(self) -> Sequence[ToolSpec]:
        """List the functions."""
        return [
            ToolSpec(function.name, function.description, function.input_schema, function.output_schema)
            for function in self._functions.values()
        ]

    async def call(self, name: str, args: Mapping[str, Any], answers: ToolAnswers | None = None) -> ToolResult:
        """Call a function. One that is not `async` runs to its end on its thread, even if the call is cancelled."""
        function = self._functions[name]
        if self._threads is None:
            raise ToolUnavailableError("the server has not been started")
        try:
            places, names = function.convert(args)
        except (ValueError, TypeError) as error:
            return ToolResult(f"the arguments do not fit: {error}", is_error=True)
        try:
            if function.is_async:
                value = await function.call(*places, **names)
            else:
                context = contextvars.copy_context()
                value = await asyncio.get_running_loop().run_in_executor(
                    self._threads, lambda: context.run(function.call, *places, **names)
                )
            return _result(function, value)
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            return ToolResult(_error_text(error), is_error=True)

    async def close(self) -> None:
        """Take no more calls."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    def _import(self) -> ModuleType:
        settings = self._settings
        try:
            if settings.module is not None:
                return importlib.import_module(settings.module)
            path = self._folder / (settings.path or "")
            own = f"{MODULE_PREFIX}{path.stem}"  # a file may be called like a module that this process needs
            spec = importlib.util.spec_from_file_location(own, path)
            if spec is None or spec.loader is None:
                raise ToolUnavailableError(f"{self._name} is no file of Python")
            module = importlib.util.module_from_spec(spec)
            sys.path.append(str(path.parent))  # what lies beside it can be imported, and hides nothing
            sys.modules[own] = module
            spec.loader.exec_module(module)
            return module
        except ToolUnavailableError:
            raise
        except (Exception, SystemExit) as error:  # whatever a module raises
            traceback.print_exc()
            raise ToolUnavailableError(f"{self._name} cannot be imported: {_error_text(error)}") from None

    def _names(self, module: ModuleType) -> Sequence[str]:
        wanted = self._settings.functions
        if wanted is None:
            stated = getattr(module, "__all__", None)
            wanted = tuple(name for name, value in vars(module).items() if _is_own(module, name, value))
            if stated is not None:
                wanted = tuple(name for name in stated if isinstance(getattr(module, name, None), FunctionType))
        for name in wanted:
            if not callable(getattr(module, name, None)):
                raise FunctionError(f"it has no function `{name}`")
            if not TOOL_NAME.fullmatch(name):
                raise FunctionError(f"`{name}` is no name for a tool")
        if not wanted:
            raise FunctionError("it has no functions")
        return wanted


def _is_own(module: ModuleType, name: str, value: object) -> bool:
    return isinstance(value, FunctionType) and value.__module__ == module.__name__ and not name.startswith("_")


def _result(function: Function, value: Any) -> ToolResult:
    """Return the result of a function: text as it is, else a JSON value with its text."""
    if value is None and function.output_schema is None:
        return ToolResult("")
    if isinstance(value, str) and function.output_schema is None:
        return ToolResult(value)
    text = json.dumps(msgspec.to_builtins(value, str_keys=True), ensure_ascii=False, allow_nan=False)
    data = json.loads(text)
    return ToolResult(data if isinstance(data, str) else text, data)


def _error_text(error: BaseException) -> str:
    try:
        said = str(error)
    except Exception:
        said = "an error that cannot be shown"
    name = type(error).__name__
    return (f"{name}: {said}" if said else name)[:ERROR_CHARS_MAX]
