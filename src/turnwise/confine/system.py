"""Calls of the Linux kernel that the standard library does not have."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from functools import cache

from turnwise.confine.measure import Unavailable


@cache
def machine() -> str:
    """Return `x86_64` or `aarch64`; raises `Unavailable` elsewhere."""
    if sys.platform != "linux":
        raise Unavailable(f"{sys.platform} does not have it")
    name = platform.machine()
    if name not in ("x86_64", "aarch64") or sys.byteorder != "little" or sys.maxsize < 2**32:
        raise Unavailable(f"not known for {name}")
    return name


def system_call(number: int, *arguments: int | ctypes.c_void_p | None) -> int:
    """Make a raw system call; raises `OSError`. Integers are passed in full width."""
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    wide = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    result: int = library.syscall(ctypes.c_long(number), *wide)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def prctl(option: int, value: int) -> None:
    """Call `prctl(option, value, 0, 0, 0)`; raises `OSError`."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
