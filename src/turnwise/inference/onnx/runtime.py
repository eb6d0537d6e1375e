"""ONNX Runtime. It has no type hints, so this is the one place where it becomes `Any`; and its errors, collected.

Its own lines never reach a terminal: what a person should know of them is said by whoever meets it.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import Any, Final


@contextlib.contextmanager
def unheard() -> Iterator[None]:
    """Drop what libraries write to standard error, past Python, for as long as this takes."""
    try:
        kept = os.dup(2)
    except OSError:  # there is none
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


with unheard():  # it looks for devices when it is loaded, and tells what it does not know of them
    ort: Any = import_module("onnxruntime")
_errors: Any = import_module("onnxruntime.capi.onnxruntime_pybind11_state")

_FATAL: Final = 4
_SOURCE: Final = re.compile(r"/\S*onnxruntime\S*\.(?:cc|cpp|h|cu):\d+ [^()\n]*\([^()\n]*(?:\([^()\n]*\)[^()\n]*)*\) ?")
ort.set_default_logger_severity(_FATAL)

Session = Any
"""An `onnxruntime.InferenceSession`."""

RunOptions = Any
"""An `onnxruntime.RunOptions`."""

RUNTIME_ERRORS: Final[tuple[type[Exception], ...]] = (
    _errors.EPFail,
    _errors.EngineError,
    _errors.Fail,
    _errors.InvalidArgument,
    _errors.InvalidGraph,
    _errors.InvalidProtobuf,
    _errors.NoModel,
    _errors.NoSuchFile,
    _errors.NotImplemented,
    _errors.RuntimeException,
    RuntimeError,
)
"""Exceptions that ONNX Runtime raises; the classes have no common one but Exception."""


_KERNEL_STATUS: Final = "Non-zero status code returned while running"
_MACHINE_WORDS: Final = ("alloc", "memory", "cuda", "cublas", "cudnn", "device", "thread")


def is_kernel_refusal(error: BaseException) -> bool:
    """Return True if a graph's operator refused its inputs, so that the same tokens fail always, on every machine.

    With IO binding everything is a RuntimeError, so only the text tells this from a lack of memory or a lost device.
    When in doubt it is the machine: then a run stops and can be resumed, instead of journalling an accident.
    """
    text = str(error)
    return _KERNEL_STATUS in text and not any(word in text.lower() for word in _MACHINE_WORDS)


@cache
def recording(number: int | None) -> RunOptions:
    """Options of a run that is recorded under a number, or replayed; None: one that is neither.

    They are for sessions that record (`enable_cuda_graph`): without them, such a session records every run.
    """
    options = ort.RunOptions()
    options.add_run_config_entry("gpu_graph_id", str(-1 if number is None else number))
    return options


def first_line(error: BaseException) -> str:
    """Return the message of an error of ONNX Runtime, cut to one line, without the place in its own source."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return _SOURCE.sub("", line)[:300]
