"""Execution providers: those that are installed, those that start, and what CUDA needs for equal bits.

ONNX Runtime names what it was built with, not what runs: a provider is usable when a small graph has run on it.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import io
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from turnwise.errors import EnvironmentFailure
from turnwise.inference.onnx import schema
from turnwise.inference.onnx.cuda_driver import cuda_driver, device_is_there
from turnwise.inference.onnx.protobuf import message, number_field, text_field
from turnwise.inference.onnx.provider_names import CPU, CUDA, REMOTE, WEBGPU, short
from turnwise.inference.onnx.runtime import RUNTIME_ERRORS, first_line, ort, unheard
from turnwise.inference.onnx.vulkan_drivers import vulkan_drivers
from turnwise.system.cores import cores
from turnwise.system.distributions import is_installed, names_beginning, version_of
from turnwise.system.processor import features

TENSORRT: Final = "TensorrtExecutionProvider"
PLUGIN_PACKAGE_PREFIX: Final = "onnxruntime-ep-"

CUDA_OPTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "device_id": "0",
        "sdpa_kernel": "1",
        "use_tf32": "0",
        "cudnn_conv_algo_search": "DEFAULT",
        "arena_extend_strategy": "kSameAsRequested",
    }
)
"""Options of ONNX Runtime's CUDA provider under which bits are the same: flash attention (1), no rounding to TF32, no
choice of kernels by timing; and memory is taken as it is needed."""

CUDA_OPTIONS_OF_BITS: Final = frozenset({"sdpa_kernel"})
"""Those that cost time where nobody asks for equal bits: without them, the provider chooses its attention."""

CUDA_ENVIRONMENT: Final[Mapping[str, str]] = MappingProxyType(
    {"CUBLAS_WORKSPACE_CONFIG": ":0:0", "ORT_ENABLE_XQA": "0", "ORT_FPA_INTB_GEMM": "0"}
)
"""Variables that must be set before CUDA starts: no workspace for cuBLAS, so that it never splits a sum; and neither an
attention nor products that choose their kernels otherwise."""

_PLUGIN_ERRORS: Final[tuple[type[Exception], ...]] = (ImportError, AttributeError, OSError, *RUNTIME_ERRORS)


@dataclass(frozen=True, slots=True)
class Plugin:
    """A provider that comes as a package of its own and is registered by the path of its library."""

    name: str
    package: str
    devices: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class ProviderState:
    """One provider for people: `usable`, or `reason` says why not."""

    name: str
    usable: bool
    reason: str | None
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProviderReport:
    """Report of providers for `turnwise doctor`: `auto` names the provider that would be tried first."""

    versions: dict[str, str]
    providers: tuple[ProviderState, ...]
    auto: str
    cores: int


@dataclass(slots=True)
class Installed:
    """Installed providers: those that ONNX Runtime was built with, plugins, and packages that do not load (and why).

    `known` are all that ONNX Runtime has a name for.
    """

    builtin: list[str]
    known: list[str]
    plugins: list[Plugin] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)

    def plugin(self, name: str) -> Plugin | None:
        return next((plugin for plugin in self.plugins if plugin.name == name), None)

    def facts(self, name: str) -> dict[str, str]:
        """Describe the device of a plugin."""
        plugin = self.plugin(name)
        if plugin is None:
            return {}
        device = plugin.devices[0].device
        package = version_of(plugin.package)
        described = dict(device.metadata).get("Description", "")
        facts = {
            "device": f"{device.vendor} {described} {device.vendor_id:#x}:{device.device_id:#x}".strip(),
            plugin.package: package,
        }
        drivers = vulkan_drivers() if name == WEBGPU else ""
        return facts | {"device drivers": drivers} if drivers else facts

    def why_not(self, name: str) -> str | None:
        """Return the reason why a provider cannot be used, as far as is known without a session."""
        plugin = self.plugin(name)
        if plugin is not None:
            return None if plugin.devices else f"{plugin.package} finds no device"
        if name not in self.builtin:
            has = " (onnxruntime-gpu has)" if name == CUDA else ""
            return f"the installed onnxruntime has no {'CUDA' if name == CUDA else short(name)}{has}"
        return f"there is no device for {short(name)}" if name == CUDA and not device_is_there() else None


def versions() -> dict[str, str]:
    """Versions of everything that has a part in the numbers."""
    packages = ("onnxruntime", "onnxruntime-gpu", "numpy", "tokenizers", "jinja2", "llguidance")
    found = {"python": platform.python_version(), "machine": platform.machine()}
    if (processor := features()) is not None:
        found["processor"] = processor
    for package in packages:
        if is_installed(package):
            found[package] = version_of(package)
    return found


def installed() -> Installed:
    """Look what is installed. Loads the libraries of plugins."""
    builtin, known = ort.get_available_providers(), ort.get_all_providers()
    found = Installed([name for name in builtin if name not in REMOTE], [name for name in known if name not in REMOTE])
    for package in sorted(_plugin_packages()):
        try:
            with unheard():
                found.plugins.append(_register(package))
        except _PLUGIN_ERRORS as error:
            found.broken[package] = first_line(error)
    return found


def cuda_options(reproducible: bool) -> dict[str, str]:
    """Return the options of the CUDA provider, of which some may be left out where bits need not be equal."""
    left_out = frozenset() if reproducible else CUDA_OPTIONS_OF_BITS
    return {name: value for name, value in CUDA_OPTIONS.items() if name not in left_out}


def prepare_cuda(reproducible: bool = True) -> Mapping[str, str]:
    """Set what must be set before CUDA starts, and load its libraries from NVIDIA's packages; what is set then.

    The variables are the process's: not set for a model whose bits need not be equal, they stay if they were set for
    another, which must have been opened before.
    """
    if reproducible:
        os.environ.update(CUDA_ENVIRONMENT)
    _preload()
    return {name: value for name in CUDA_ENVIRONMENT if (value := os.environ.get(name)) is not None}


@cache
def _preload() -> None:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        ort.preload_dlls()


def why_cuda_fails() -> str | None:
    """Name what CUDA's provider lacks: the device, the driver, or a library. None if it is none of these."""
    try:
        cuda_driver().facts()
    except EnvironmentFailure as error:
        return error.message
    name = "onnxruntime_providers_cuda.dll" if sys.platform == "win32" else "libonnxruntime_providers_cuda.so"
    library = Path(ort.__file__).parent / "capi" / name
    try:
        ctypes.CDLL(str(library))
    except OSError as error:
        missing = first_line(error).partition(":")[0]
        return f'the library {missing} is missing: pip install "turnwise[cuda]" brings CUDA 13 and cuDNN 9'
    return None


def provider_report() -> ProviderReport:
    """Versions, providers, devices, and why the others are not used: a small graph is run on each."""
    found = installed()
    names = [CUDA] if CUDA in found.builtin or device_is_there() else []
    names += [name for name in found.builtin if name not in (CUDA, CPU)]
    states = []
    for name in [*names, *[plugin.name for plugin in found.plugins if plugin.name not in names], CPU]:
        reason = found.why_not(name) or _trial(name, found)
        states.append(ProviderState(name, reason is None, reason, _devices(name) if reason is None else ()))
    states += [ProviderState(package, False, reason) for package, reason in sorted(found.broken.items())]
    auto = next((state.name for state in states if state.usable and _in_auto(state.name, found)), CPU)
    return ProviderReport(versions(), tuple(states), auto, cores())


def _trial(name: str, found: Installed) -> str | None:
    """Run the smallest graph on a provider; why that does not work, or None."""
    settings = ort.SessionOptions()
    settings.log_severity_level = 4
    numbers = np.arange(8, dtype=np.float32)
    try:
        if (plugin := found.plugin(name)) is not None:
            settings.add_provider_for_devices(list(plugin.devices[:1]), {})
            with unheard():
                session = ort.InferenceSession(_squares(), sess_options=settings, enable_fallback=0)
        else:
            if name == CUDA:
                prepare_cuda()
            providers = [name] if name == CPU else [name, CPU]
            session = ort.InferenceSession(_squares(), sess_options=settings, providers=providers, enable_fallback=0)
        result = session.run(None, {"x": numbers})[0]
    except RUNTIME_ERRORS as error:
        return "TensorRT's own libraries are not installed" if name == TENSORRT else first_line(error)
    if name not in session.get_providers():
        detail = why_cuda_fails() if name == CUDA else None
        return detail or "it does not start: a library or the device is missing"
    return None if np.array_equal(result, numbers * numbers) else "it computes wrongly: 3 · 3 is not 9"


def _squares() -> bytes:
    """Return a model whose `y` is `x` times `x`."""
    of = schema.ValueInfoProto

    def value(name: str) -> bytes:
        shape = message(of.SHAPE, message(of.DIM, number_field(of.DIM_VALUE, 8)))
        tensor = number_field(of.ELEMENT_TYPE, schema.DataType.FLOAT) + shape
        return text_field(of.NAME, name) + message(of.TYPE, message(of.TENSOR, tensor))

    node, graph, model = schema.NodeProto, schema.GraphProto, schema.ModelProto
    product = text_field(node.INPUT, "x") + text_field(node.INPUT, "x") + text_field(node.OUTPUT, "y")
    body = message(graph.NODE, product + text_field(node.OP_TYPE, "Mul")) + text_field(graph.NAME, "squares")
    body += message(graph.INPUT, value("x")) + message(graph.OUTPUT, value("y"))
    opset = message(model.OPSETS, number_field(schema.OperatorSetIdProto.VERSION, 17))
    return number_field(model.IR_VERSION, 8) + opset + message(model.GRAPH, body)


def _plugin_packages() -> set[str]:
    return names_beginning(PLUGIN_PACKAGE_PREFIX)


def _register(package: str) -> Plugin:
    """Register an installed plugin package by its library's path: `get_library_path()` and `get_ep_name()`."""
    module = importlib.import_module(package.replace("-", "_"))
    name = str(module.get_ep_name())
    if not any(device.ep_name == name for device in ort.get_ep_devices()):
        ort.register_execution_provider_library(package, str(module.get_library_path()))
    devices = tuple(device for device in ort.get_ep_devices() if device.ep_name == name)
    return Plugin(name, package, devices)


def _in_auto(name: str, found: Installed) -> bool:
    return name in (CUDA, CPU) or found.plugin(name) is not None


def _devices(name: str) -> tuple[str, ...]:
    if name == CUDA:
        facts = cuda_driver().facts()
        memory = f"{facts.memory_bytes / 2**30:,.0f} GiB"
        return (f"{facts.name}, {memory}, {facts.multiprocessors} multiprocessors, driver for {facts.driver}",)
    found = []
    for device in ort.get_ep_devices():
        if device.ep_name == name:
            kind = str(device.device.type).rpartition(".")[2]
            described = dict(device.device.metadata).get("Description", "")
            found.append(" ".join(part for part in (kind, device.device.vendor, described) if part))
    return tuple(found)
