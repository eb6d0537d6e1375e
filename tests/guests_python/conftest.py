"""What runs guest code in tests: natively in this process, and the interpreter component in a minimal host."""

from __future__ import annotations

import hashlib
import json
import linecache
import random
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import wasmtime
from wasmtime import component as wc

from turnwise.sandbox.execute.engine import WASM_STACK_BYTES, on_guest_stack, set_async_stack
from turnwise.sandbox.python import component_path
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
        program = prepare_with(lambda text: execute(text, no_effect), files, entry)["program"]
        reply = execute(compact({**ENVELOPE, **changes, "program": program}), effect)
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
    """The component, compiled once, in a host that answers what a turn needs and traps on everything else."""

    def __init__(self) -> None:
        config = wasmtime.Config()
        config.cranelift_opt_level = "none"  # it is compiled for a few turns only
        config.consume_fuel = True
        set_async_stack(config)
        config.max_wasm_stack = WASM_STACK_BYTES
        self._engine = wasmtime.Engine(config)
        self._component = wc.Component.from_file(self._engine, str(component_path()))
        self._linker = wc.Linker(self._engine)
        self._types: dict[str, wc.ResourceType] = {}
        self.printed = b""
        self.calls: list[str] = []
        self.fuel = 0
        self._reads = 0
        self._effect: Effect = no_effect
        with self._linker.root() as root:
            for name, extern in self._component.type.imports(self._engine).items():
                if isinstance(extern.ty, wc.FuncType):
                    root.add_func(name, lambda _, request: self._effect(request))
                    continue
                assert isinstance(extern.ty, wc.ComponentInstanceType)
                with root.add_instance(name) as instance:
                    self._define(instance, name.partition("@")[0], extern.ty)

    def call(self, text: str, effect: Effect = no_effect) -> str:
        """One call of `turn` in a fresh instance."""
        self.printed, self.calls, self._reads, self._effect = b"", [], 0, effect
        store = wasmtime.Store(self._engine)
        store.set_fuel(10**11)
        store.set_limits(memory_size=64 << 20)
        instance = self._linker.instantiate(store, self._component)
        function = instance.get_func(store, "turn")
        assert function is not None
        reply: str = on_guest_stack(lambda: function(store, text))
        self.fuel = 10**11 - store.get_fuel()
        store.close()
        return reply

    def play(self, files: dict[str, str] | str, *, effect: Effect = no_effect, **changes: Any) -> dict[str, Any]:
        program = prepare_with(self.call, files)["program"]
        reply: dict[str, Any] = json.loads(self.call(compact({**ENVELOPE, **changes, "program": program}), effect))
        return reply

    def _define(self, instance: wc.LinkerInstance, interface: str, type_: wc.ComponentInstanceType) -> None:
        for name, extern in type_.exports(self._engine).items():
            if isinstance(extern.ty, wc.ResourceType):
                if name not in self._types:
                    self._types[name] = wc.ResourceType.host(len(self._types))
                instance.add_resource(name, self._types[name], lambda _store, _rep: None)
            elif isinstance(extern.ty, wc.FuncType):
                instance.add_func(name, self._function(f"{interface.removeprefix('wasi:')}/{name}"))

    def _function(self, name: str) -> Callable[..., Any]:
        def call(store: wasmtime.Store, *arguments: Any) -> Any:
            self.calls.append(name)
            try:
                return self._answer(name, arguments)
            finally:
                for argument in arguments:
                    if isinstance(argument, wc.ResourceAny):
                        argument.drop(store)

        return call

    def _answer(self, name: str, arguments: tuple[Any, ...]) -> Any:
        match name:
            case (
                "cli/environment/get-environment"
                | "cli/environment/get-arguments"
                | "filesystem/preopens/get-directories"
            ):
                return []
            case (
                "cli/terminal-stdin/get-terminal-stdin"
                | "cli/terminal-stdout/get-terminal-stdout"
                | "cli/terminal-stderr/get-terminal-stderr"
            ):
                return None
            case "cli/stdout/get-stdout" | "cli/stderr/get-stderr":
                return wc.ResourceHost.own(1, list(self._types).index("output-stream"))
            case "io/streams/[method]output-stream.check-write":
                return 1 << 16
            case "io/streams/[method]output-stream.write":
                self.printed += bytes(arguments[1])
                return wc.Variant("ok")
            case "io/streams/[method]output-stream.blocking-flush":
                return wc.Variant("ok")
            case "clocks/monotonic-clock/now":
                return self._time_us() * 1000
            case "clocks/wall-clock/now":
                time = wc.Record()
                seconds, microseconds = divmod(self._time_us(), 1_000_000)
                time.__dict__.update(seconds=seconds, nanoseconds=microseconds * 1000)
                return time
            case "random/random/get-random-bytes":
                self._reads += 1
                return hashlib.shake_128(b"%d" % self._reads).digest(arguments[0])
        raise PermissionError(name)

    def _time_us(self) -> int:
        self._reads += 1
        return int(ENVELOPE["now_us"]) + self._reads


@pytest.fixture(scope="session")
def interpreter() -> Interpreter:
    return Interpreter()
