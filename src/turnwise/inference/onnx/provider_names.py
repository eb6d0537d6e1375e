"""Names of execution providers: ONNX Runtime's, and the short ones that world files use."""

from __future__ import annotations

from typing import Final

CPU: Final = "CPUExecutionProvider"
CUDA: Final = "CUDAExecutionProvider"
WEBGPU: Final = "WebGpuExecutionProvider"
REMOTE: Final = frozenset({"AzureExecutionProvider"})
"""Providers that would send the model's inputs elsewhere are never used."""


def short(name: str) -> str:
    """`cuda` for `CUDAExecutionProvider`."""
    return name.removesuffix("ExecutionProvider").lower()
