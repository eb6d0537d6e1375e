"""Kind `wasm`: tools that are pure functions of their arguments, in the sandbox of agents.

The code is that of an agent, in any language: a component, a core module, a file in Python or JavaScript. Each call is
a turn of it, whose arguments say what is called and whose result (`finish`) is the reply. Clock and chance follow from
the call, so the same call has the same result anywhere.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

from turnwise.core.canonical import canonical
from turnwise.core.envelope import ABI, decode_output
from turnwise.core.plan import FUEL_DEFAULT, MEMORY_MIB_DEFAULT, TIME_START_US_DEFAULT
from turnwise.core.turn import Failed
from turnwise.tools.kinds.settings import SettingsError, problems, read_settings
from turnwise.tools.server import ToolAnswers, ToolResult, ToolUnavailableError
from turnwise.tools.spec import ToolSpec

if TYPE_CHECKING:
    from turnwise.sandbox.build.code import Language
    from turnwise.sandbox.execute.executor import Executor
    from turnwise.sandbox.execute.jobs import TurnResult

KIB: Final = 1024
MIB: Final = 1024 * 1024
FUEL_MAX: Final = 10**15
TOOLS_MAX: Final = 256
LIST_BYTES_MAX: Final = MIB
LANGUAGES: Final[dict[str, Language]] = {".wasm": "wasm", ".wat": "wat", ".py": "python", ".js": "javascript"}
AGENT: Final = "tool"
"""Name, and kind, of the agent that the code believes to be."""
ENVELOPE: Final[Mapping[str, Any]] = {
    "abi": ABI,
    "self": AGENT,
    "kind": AGENT,
    "round": 1,
    "turn": 1,
    "now_us": TIME_START_US_DEFAULT,
    "state": "",
    "inbox": [],
}
"""Input of every call but for its arguments and its seed. The clock is that of a world that says nothing else."""


class WasmSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the kind.

    `path`: a file of WebAssembly (.wasm, .wat), Python or JavaScript, relative to the world file. `fuel`, `memory_mib`:
    bounds of one call. `output_kib_max`: bytes of its output.
    """

    path: str
    fuel: Annotated[int, msgspec.Meta(ge=1, le=FUEL_MAX)] = FUEL_DEFAULT
    memory_mib: Annotated[int, msgspec.Meta(ge=1, le=4096)] = MEMORY_MIB_DEFAULT
    output_kib_max: Annotated[int, msgspec.Meta(ge=1, le=64 * KIB)] = KIB


class WasmTool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One tool, as the code lists it."""

    name: str
    description: str = ""
    input_schema: dict[str, Any] | None = None
    output_schema: dict[str, Any] | None = None


class WasmToolList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Result of the code when it is asked for its tools."""

    tools: Annotated[list[WasmTool], msgspec.Meta(max_length=TOOLS_MAX)]


class WasmOutput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Result of a call: `text`, `data` or both."""

    text: str | None = None
    data: Any = None


def settings_of(settings: Mapping[str, Any]) -> WasmSettings:
    """Return the settings. Raises `SettingsError`."""
    found = read_settings(WasmSettings, settings)
    if Path(found.path).suffix not in LANGUAGES:
        raise SettingsError(
            "path", "is no file of WebAssembly", 'Write path = "tool.wasm", relative to the world\'s folder.'
        )
    return found


def check(settings: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with settings: key, message, hint."""
    yield from problems(settings_of, settings)


def server(settings: Mapping[str, Any], folder: Path) -> WasmServer:
    """Make a server of the kind; `folder` is the world's. Raises `SettingsError`."""
    return WasmServer(settings_of(settings), folder)


class WasmServer:
    """Server of one piece of code. Its process gives up all else once it is loaded."""

    on_change: Callable[[], None]
    """Called by none: the list never becomes another."""

    def __init__(self, settings: WasmSettings, folder: Path, *, confined: bool = True) -> None:
        self._settings = settings
        self._path = folder / settings.path
        self._confined = confined
        self._executor: Executor | None = None
        self._guests: ThreadPoolExecutor | None = None

    async def start(self) -> None:
        """Compile the code, or find it compiled, load it, and give up everything else."""
        from turnwise.confine import ProcessNeeds, give_up_calls, give_up_files
        from turnwise.errors import EnvironmentFailure
        from turnwise.sandbox.build.code import SOURCE_BYTES_MAX, CodeError, Source, prepare
        from turnwise.sandbox.execute.executor import Executor

        name = self._settings.path
        try:
            with self._path.open("rb") as file:
                content = file.read(SOURCE_BYTES_MAX + 1)
            (code,) = await prepare(
                [Source(name, LANGUAGES[self._path.suffix], {self._path.name: content}, self._path.name)]
            )
        except OSError as error:
            raise ToolUnavailableError(f"{name!r}: {error.strerror or error}") from None
        except (CodeError, EnvironmentFailure) as error:
            raise ToolUnavailableError(str(error)) from None
        self._executor = Executor()
        self._executor.load(str(code.path), code.carrier, code.program)
        if self._confined:
            give_up_files()
        self._guests = _guest_thread()
        if self._confined:
            give_up_calls(ProcessNeeds(threads=True))

    async def tools(self) -> Sequence[ToolSpec]:
        """Ask the code for its tools."""
        try:
            listed = msgspec.json.decode(await self._turn({"list": True}, LIST_BYTES_MAX), type=WasmToolList)
        except (_NoResult, msgspec.DecodeError, RecursionError) as error:
            raise ToolUnavailableError(f"its list of tools: {error}") from None
        return [
            ToolSpec(tool.name, tool.description, tool.input_schema, tool.output_schema, pure=True)
            for tool in listed.tools
        ]

    async def call(self, name: str, args: Mapping[str, Any], answers: ToolAnswers | None = None) -> ToolResult:
        """Execute a call. One that is cancelled is executed to its end, which its fuel bounds, and then forgotten."""
        try:
            finish = await self._turn({"call": name, "args": args}, self._settings.output_kib_max * KIB)
            result = msgspec.json.decode(finish, type=WasmOutput)
        except _NoResult as error:
            return ToolResult(str(error), is_error=True)
        except (msgspec.DecodeError, RecursionError) as error:
            return ToolResult(f"the result of the tool: {error}", is_error=True)
        if result.text is None and result.data is None:
            return ToolResult("the result of the tool has neither `text` nor `data`", is_error=True)
        return ToolResult(canonical(result.data) if result.text is None else result.text, result.data)

    async def close(self) -> None:
        """End the thread that executes, after the call that it is at."""
        if self._guests is not None:
            self._guests.shutdown(wait=False, cancel_futures=True)

    async def _turn(self, args: Mapping[str, Any], output_bytes_max: int) -> str:
        """Execute a turn with these arguments; return its result, JSON text. Raises `_NoResult`."""
        from turnwise.sandbox.execute.headroom import LackOfMemory

        if self._guests is None or self._executor is None:
            raise ToolUnavailableError("the server has not been started")
        try:
            seed = hashlib.sha256(canonical(args).encode()).hexdigest()
            input_ = canonical({**ENVELOPE, "args": args, "seed": seed}).encode()
        except ValueError as error:
            raise _NoResult(f"the arguments: {error}") from None
        settings = self._settings
        try:
            result = await asyncio.get_running_loop().run_in_executor(
                self._guests,
                self._executor.execute,
                0,
                0,
                input_,
                (),
                settings.fuel,
                settings.memory_mib * MIB,
                output_bytes_max,
            )
        except (LackOfMemory, MemoryError) as error:
            raise ToolUnavailableError(f"the machine lacks memory: {error}") from None
        return _finish(result)


class _NoResult(Exception):
    """A turn without a result; says why."""


def _finish(result: TurnResult) -> str:
    """Return what a turn gave as its result. Raises `_NoResult` if it failed, or did anything else."""
    if result.status == "needs":
        raise _NoResult("the tool asked for an effect; tools compute, and nothing else")
    if result.status == "failed":
        raise _NoResult(f"{result.failure}: {result.body.decode('utf-8', 'replace')}")
    outcome = decode_output(result.body)
    if isinstance(outcome, Failed):
        raise _NoResult(outcome.failure.message)
    output = outcome.output
    acts = [name for name in ("send", "record", "spawn", "stop") if getattr(output, name)]
    if output.wake_in is not None:
        acts.append("wake_in")
    if acts:
        raise _NoResult(f"the tool has {', '.join(acts)} in its output; it may finish, and log")
    if output.finish is None:
        raise _NoResult("the tool has no result: it did not call `finish`")
    return output.finish


def _guest_thread() -> ThreadPoolExecutor:
    """Return an executor of one thread, whose stack is deep enough for guests."""
    from turnwise.sandbox.execute.engine import THREAD_STACK_BYTES

    before = threading.stack_size(THREAD_STACK_BYTES)
    try:
        threads = ThreadPoolExecutor(1, "turnwise-guests")
        threads.submit(int).result()  # it begins its thread with the first that it is given
    finally:
        threading.stack_size(before)
    return threads
