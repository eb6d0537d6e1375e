"""ONNX Runtime. It has no type hints, so this is the one place where it becomes `Any`; and its errors, collected."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

ort: Any = import_module("onnxruntime")
_errors: Any = import_module("onnxruntime.capi.onnxruntime_pybind11_state")

Session = Any
"""An `onnxruntime.InferenceSession`."""

InvalidArgument: type[Exception] = _errors.InvalidArgument
"""A graph does not take these inputs: the same inputs fail always."""

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
"""What ONNX Runtime raises; the classes have no common one but Exception."""


def first_line(error: BaseException) -> str:
    """What ONNX Runtime says, cut to one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
