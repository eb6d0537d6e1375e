"""Functions of wasmtime's C library, called with plain numbers.

The wheel's own bindings make a Python object for every pointer that comes back, and most of a small turn's time goes
there. Here the same library is opened once more with types of our own: pointers are integers, and structs lie in
buffers that are made once. Nothing checks what is passed, so only `c_module` calls these functions.

`HELD` keeps Python's lock during a call, which is right for functions that return at once and run no guest; `FREE`
gives it up, as a guest may compute for long, and takes it again for a call back.
"""

from __future__ import annotations

import ctypes
from typing import Any

from wasmtime import _bindings
from wasmtime._ffi import WASMTIME_EXTERN_FUNC, WASMTIME_EXTERN_MEMORY, dll

from turnwise.system.distributions import version_of

VERSION = "50.0.1"
"""Version of the library whose functions and structs these are."""

Pointer = ctypes.c_void_p
Size = ctypes.c_size_t

EffectCallback = ctypes.CFUNCTYPE(Size, Pointer, Pointer, Pointer, Size)
"""Type of a host function: environment, caller, values (arguments and results), number of values; returns a trap."""

INSTANCE_BYTES = 16
EXTERN_BYTES = 32
EXTERN_VALUE_OFFSET = 8
VALUE_BYTES = 16
"""Sizes of the structs `wasmtime_instance_t`, `wasmtime_extern_t` and `wasmtime_val_raw_t`, and where the extern's
value begins."""

EXTERN_FUNC = 0
EXTERN_MEMORY = 3
"""First byte of a `wasmtime_extern_t`."""

HELD = ctypes.PyDLL(dll._name)
FREE = ctypes.CDLL(dll._name)


def _function(library: ctypes.CDLL, name: str, result: Any, *arguments: Any) -> Any:
    function = library[name]
    function.restype = result
    function.argtypes = arguments
    return function


store_new = _function(HELD, "wasmtime_store_new", Pointer, Pointer, Pointer, Pointer)
store_context = _function(HELD, "wasmtime_store_context", Pointer, Pointer)
store_limiter = _function(HELD, "wasmtime_store_limiter", None, Pointer, *[ctypes.c_int64] * 5)
store_delete = _function(HELD, "wasmtime_store_delete", None, Pointer)
context_set_fuel = _function(HELD, "wasmtime_context_set_fuel", Pointer, Pointer, ctypes.c_uint64)
context_get_fuel = _function(HELD, "wasmtime_context_get_fuel", Pointer, Pointer, Pointer)
instance_export_get = _function(
    HELD, "wasmtime_instance_export_get", ctypes.c_bool, Pointer, Pointer, ctypes.c_char_p, Size, Pointer
)
memory_data = _function(HELD, "wasmtime_memory_data", Pointer, Pointer, Pointer)
memory_data_size = _function(HELD, "wasmtime_memory_data_size", Size, Pointer, Pointer)
caller_context = _function(HELD, "wasmtime_caller_context", Pointer, Pointer)
trap_new = _function(HELD, "wasmtime_trap_new", Pointer, ctypes.c_char_p, Size)

instance_pre_instantiate = _function(
    FREE, "wasmtime_instance_pre_instantiate", Pointer, Pointer, Pointer, Pointer, Pointer
)
func_call_unchecked = _function(FREE, "wasmtime_func_call_unchecked", Pointer, Pointer, Pointer, Pointer, Size, Pointer)


def is_as_described() -> bool:
    """Return whether the installed library is the one that this module describes: by version and layout of structs."""
    return version_of("wasmtime") == VERSION and described() == installed()


def described() -> dict[str, int]:
    """Return the layout of structs that this module relies on."""
    return {
        "instance bytes": INSTANCE_BYTES,
        "extern bytes": EXTERN_BYTES,
        "extern value offset": EXTERN_VALUE_OFFSET,
        "value bytes": VALUE_BYTES,
        "extern func": EXTERN_FUNC,
        "extern memory": EXTERN_MEMORY,
    }


def installed() -> dict[str, int]:
    """Return the same layout, as the wheel's own bindings have it."""
    return {
        "instance bytes": ctypes.sizeof(_bindings.wasmtime_instance_t),
        "extern bytes": ctypes.sizeof(_bindings.wasmtime_extern_t),
        "extern value offset": _bindings.wasmtime_extern_t.of.offset,
        "value bytes": ctypes.sizeof(_bindings.wasmtime_val_raw_t),
        "extern func": WASMTIME_EXTERN_FUNC.value,
        "extern memory": WASMTIME_EXTERN_MEMORY.value,
    }
