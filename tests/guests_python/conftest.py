"""What runs guest code in tests: natively in this process, and the interpreter in a minimal host."""

from __future__ import annotations

import hashlib
import json
import linecache
import random
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import wasmtime

from turnwise.sandbox.execute.engine import WASM_STACK_BYTES, on_guest_stack, set_async_stack
from turnwise.sandbox.python import module_path
from turnwise_guest.runtime.execute import execute

Effect = Callable[[str], str]
Play = Callable[..., dict[str, Any]]

ENVELOPE: dict[str, Any] = {
    "abi": 1,
    "self": "narrator-1",
    "kind": "narrator",
    "round": 3,
    "turn": 2,
    "now_us": 946_684_800_000_000,
    "seed": "5eed" * 16,
    "args": {},
    "state": "",
    "inbox": [],
}


def no_effect(request: str) -> str:
    raise AssertionError(f"unexpected effect: {request}")


def no_bytes(request: str, content: bytes) -> bytes:
    raise AssertionError(f"unexpected effect: {request} with {len(content)} bytes")


def compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def prepare_with(call: Callable[[str], str], files: dict[str, str] | str, entry: str = "agent.py") -> dict[str, Any]:
    if isinstance(files, str):
        files = {entry: files}
    reply: dict[str, Any] = json.loads(call(compact({"abi": 1, "prepare": {"entry": entry, "files": files}})))
    return reply


@pytest.fixture
def play() -> Iterator[Play]:
    """Prepares and plays a turn natively: `play(source or files, effect=…, **changes of the envelope)`."""
    finders, modules, generator = sys.meta_path[:], dict(sys.modules), random.getstate()

    def play(
        files: dict[str, str] | str, *, entry: str = "agent.py", effect: Effect = no_effect, **changes: Any
    ) -> Any:
        program = prepare_with(lambda text: execute(text, no_effect, no_bytes), files, entry)["program"]
        reply = execute(compact({**ENVELOPE, **changes, "program": program}), effect, no_bytes)
        restore()
        return json.loads(reply)

    def restore() -> None:
        sys.meta_path[:] = finders
        for name in sys.modules.keys() - modules.keys():
            del sys.modules[name]
        sys.modules.update(modules)
        linecache.clearcache()

    yield play
    restore()
    random.setstate(generator)


class Interpreter:
    """The interpreter, compiled once, in a host that answers what a turn needs and traps on everything else."""

    def __init__(self) -> None:
        config = wasmtime.Config()
        config.cranelift_opt_level = "none"  # it is compiled for a few turns only
        config.consume_fuel = True
        set_async_stack(config)
        config.max_wasm_stack = WASM_STACK_BYTES
        self._engine = wasmtime.Engine(config)
        module = wasmtime.Module.from_file(self._engine, str(module_path()))
        linker = wasmtime.Linker(self._engine)
        self.printed = b""
        self.calls: list[str] = []
        self.fuel = 0
        self._reads = 0
        self._effect: Effect = no_effect
        self.bytes_effect: Callable[[str, bytes], bytes] = no_bytes
        for item in module.imports:
            assert isinstance(item.type, wasmtime.FuncType)
            effects = {"turnwise.effect": self._take_effect, "turnwise.effect_bytes": self._take_bytes}
            answer = effects.get(f"{item.module}.{item.name}") or self._function(item)
            linker.define_func(item.module, item.name or "", item.type, answer)
        self._pre = linker.instantiate_pre(module)

    def call(self, text: str, effect: Effect = no_effect) -> str:
        """One call of `turn` in a fresh instance."""
        self.printed, self.calls, self._reads, self._effect = b"", [], 0, effect
        self._store = store = wasmtime.Store(self._engine)
        store.set_fuel(10**11)
        store.set_limits(memory_size=64 << 20)
        self._exports = self._pre.instantiate(store).exports(store)

        def turn() -> str:
            data = text.encode()
            packed = self._exported("turnwise_turn")(store, self._place(data), len(data)) % (1 << 64)
            return self._read(packed >> 32, packed & 0xFFFF_FFFF).decode()

        reply = on_guest_stack(turn)
        self.fuel = 10**11 - store.get_fuel()
        store.close()
        return reply

    def play(self, files: dict[str, str] | str, *, effect: Effect = no_effect, **changes: Any) -> dict[str, Any]:
        program = prepare_with(self.call, files)["program"]
        reply: dict[str, Any] = json.loads(self.call(compact({**ENVELOPE, **changes, "program": program}), effect))
        return reply

    def _exported(self, name: str) -> wasmtime.Func:
        function = self._exports[name]
        assert isinstance(function, wasmtime.Func)
        return function

    def _memory(self) -> wasmtime.Memory:
        memory = self._exports["memory"]
        assert isinstance(memory, wasmtime.Memory)
        return memory

    def _read(self, pointer: int, length: int) -> bytes:
        return bytes(self._memory().read(self._store, pointer, pointer + length))

    def _write(self, pointer: int, content: bytes) -> None:
        self._memory().write(self._store, content, pointer)

    def _place(self, content: bytes) -> int:
        pointer = int(self._exported("turnwise_alloc")(self._store, len(content)))
        self._write(pointer, content)
        return pointer

    def _take_effect(self, pointer: int, length: int) -> int:
        reply = self._effect(self._read(pointer, length).decode()).encode()
        return self._place(reply) << 32 | len(reply)

    def _take_bytes(self, pointer: int, length: int, content_pointer: int, content_length: int) -> int:
        content = self._read(content_pointer, content_length)
        reply = self.bytes_effect(self._read(pointer, length).decode(), content)
        return self._place(reply) << 32 | len(reply)

    def _function(self, item: wasmtime.ImportType) -> Callable[..., Any]:
        name = f"{item.module.partition('@')[0].removeprefix('wasi:')}/{item.name}"

        def call(*arguments: int) -> int | None:
            self.calls.append(name)
            return self._answer(name, arguments)

        return call

    def _answer(self, name: str, arguments: tuple[int, ...]) -> int | None:
        match name:
            case (
                "cli/environment/get-environment"
                | "cli/environment/get-arguments"
                | "filesystem/preopens/get-directories"
            ):
                return self._write(arguments[0], struct.pack("<II", 8, 0))
            case (
                "cli/terminal-stdin/get-terminal-stdin"
                | "cli/terminal-stdout/get-terminal-stdout"
                | "cli/terminal-stderr/get-terminal-stderr"
            ):
                return self._write(arguments[0], b"\0")
            case "cli/stdout/get-stdout" | "cli/stderr/get-stderr":
                return 1
            case "io/streams/[method]output-stream.check-write":
                return self._write(arguments[1], struct.pack("<QQ", 0, 1 << 16))
            case "io/streams/[method]output-stream.write":
                self.printed += self._read(*arguments[1:3])
                return self._write(arguments[3], b"\0")
            case "io/streams/[method]output-stream.blocking-flush":
                return self._write(arguments[1], b"\0")
            case "clocks/monotonic-clock/now":
                return self._time_us() * 1000
            case "clocks/wall-clock/now":
                seconds, microseconds = divmod(self._time_us(), 1_000_000)
                return self._write(arguments[0], struct.pack("<QI", seconds, microseconds * 1000))
            case "random/random/get-random-bytes":
                self._reads += 1
                content = hashlib.shake_128(b"%d" % self._reads).digest(arguments[0])
                return self._write(arguments[1], struct.pack("<II", self._place(content), len(content)))
        raise PermissionError(name)

    def _time_us(self) -> int:
        self._reads += 1
        return int(ENVELOPE["now_us"]) + self._reads


@pytest.fixture(scope="session")
def interpreter() -> Interpreter:
    return Interpreter()
