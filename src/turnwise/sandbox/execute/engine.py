"""The engine: one fixed way to compile and run WebAssembly, since two ways would be two results.

Everything that could make one execution differ from another is off or pinned: NaN bit patterns are canonical, relaxed
SIMD takes its deterministic form, there are no threads and no shared memories. Proposals that a guest of either
carrier does not need are off too, which keeps the surface small: no garbage-collected heaps (their memory is not
covered by the limit of linear memory), no exceptions (so nothing but a trap can unwind), one linear memory of 32 bits,
no asynchronous components (their streams, tasks and waits are work and memory of the host that no limit counts).

There are no epochs. Fuel bounds a turn deterministically, and the wall-clock deadline is kept from outside by killing
the worker, which also works when native code hangs; epoch checks would cost time in every loop and add nothing.
"""

from __future__ import annotations

import ctypes
import hashlib
import platform
import sys
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar

import wasmtime
from wasmtime import _bindings
from wasmtime._ffi import dll

Result = TypeVar("Result")

WASM_STACK_BYTES = 64 * 1024 * 1024
"""Stack of WebAssembly frames.

CPython bounds its recursion by the stack that it has in linear memory, which its C functions use little of: a level of
nesting takes 16 bytes there, and ten times as much here. With 64 MiB its own bound of 4 MB is reached first, so
recursion ends in `RecursionError`, which an agent can catch, and not in a trap, which nothing can.
"""

ASYNC_STACK_BYTES = WASM_STACK_BYTES + 1024 * 1024
"""Size of an async stack. None is used, but wasmtime refuses a `WASM_STACK_BYTES` that would not fit into one."""

THREAD_STACK_BYTES = WASM_STACK_BYTES + 16 * 1024 * 1024
"""Native stack of the thread that runs guests: their frames, and those of the host functions that they call.

Address space; memory is taken for the part that a guest reaches.
"""

SETTINGS: tuple[tuple[str, bool | int | str], ...] = (
    ("concurrency_support", False),
    ("consume_fuel", True),
    ("cranelift_nan_canonicalization", True),
    ("cranelift_opt_level", "speed"),
    ("epoch_interruption", False),
    ("gc_support", False),
    ("max_wasm_stack", WASM_STACK_BYTES),
    ("shared_memory", False),
    ("wasm_component_model", True),
    ("wasm_component_model_async", False),
    ("wasm_component_model_implements", False),
    ("wasm_component_model_map", False),
    ("wasm_custom_page_sizes", False),
    ("wasm_exceptions", False),
    ("wasm_function_references", False),
    ("wasm_gc", False),
    ("wasm_memory64", False),
    ("wasm_multi_memory", False),
    ("wasm_relaxed_simd", True),
    ("wasm_relaxed_simd_deterministic", True),
    ("wasm_stack_switching", False),
    ("wasm_threads", False),
    ("wasm_wide_arithmetic", False),
)
"""Every setting by its name in the engine's interface, in the order in which they are applied and hashed."""


def make_engine() -> wasmtime.Engine:
    """Return a new engine with `SETTINGS`. Engines of one version and machine are interchangeable."""
    return wasmtime.Engine(make_config())


def make_config() -> wasmtime.Config:
    """Return a new configuration with `SETTINGS`."""
    config = wasmtime.Config()
    set_async_stack(config)
    for name, value in SETTINGS:
        if hasattr(wasmtime.Config, name):
            setattr(config, name, value)
        else:  # the C interface in the wheel has more settings than the class
            getattr(_bindings, f"wasmtime_config_{name}_set")(config.ptr(), value)
    return config


def set_async_stack(config: wasmtime.Config) -> None:
    """Set `ASYNC_STACK_BYTES`: a function of wasmtime's C library for which its Python package has no property."""
    set_size = dll.wasmtime_config_async_stack_size_set
    set_size.argtypes, set_size.restype = [ctypes.c_void_p, ctypes.c_size_t], None
    set_size(ctypes.cast(config.ptr(), ctypes.c_void_p), ASYNC_STACK_BYTES)


def on_guest_stack(function: Callable[[], Result]) -> Result:
    """Call `function` on a thread whose stack is deep enough to run guests, and return what it returns.

    On a smaller stack a guest's recursion would end the process.
    """
    outcomes: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            outcomes.append(function())
        except BaseException as error:
            errors.append(error)

    before = threading.stack_size(THREAD_STACK_BYTES)
    try:
        thread = threading.Thread(target=run, name="turnwise-guests")
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    if errors:
        raise errors[0]
    return outcomes[0]


@cache
def engine_key() -> str:
    """Return SHA-256 (hex) of what compiled code depends on besides its source: version, settings, system, CPU.

    Compiled code that was made under another key must not be loaded.
    """
    parts = [f"wasmtime {wasmtime_version()}", sys.platform, platform.machine(), _cpu_features()]
    parts += [f"{name}={value}" for name, value in SETTINGS]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@cache
def wasmtime_version() -> str:
    """Return the version of the installed `wasmtime` distribution."""
    from importlib.metadata import version

    return version("wasmtime")


def _cpu_features() -> str:
    """Return the feature flags of the first CPU on Linux, elsewhere the platform's name of the processor."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        return platform.processor()
    for line in text.splitlines():
        if line.startswith(("flags", "Features")):
            return " ".join(sorted(line.partition(":")[2].split()))
    return platform.processor()
