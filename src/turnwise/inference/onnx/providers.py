"""Which execution provider runs a model: what was asked, what is there, and what happened.

ONNX Runtime falls back silently: a session asked for CUDA that cannot load its libraries runs on the CPU and says so
only in a log. So after a session is made we compare what was asked with the providers that it has and with the provider
of each node, and say in one line what is different and why.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from turnwise.errors import ModelError
from turnwise.inference.onnx.accuracy_level import with_accuracy
from turnwise.inference.onnx.gather_logits import GRAPH_BYTES_MAX, with_positions
from turnwise.inference.onnx.runtime import RUNTIME_ERRORS, Session, first_line, ort
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.system.cores import cores

CPU: Final = "CPUExecutionProvider"
CUDA: Final = "CUDAExecutionProvider"
PLUGIN_PACKAGE_PREFIX: Final = "onnxruntime-ep-"
SINGLE_THREAD_BYTES_MAX: Final = 16 * 1024 * 1024
"""Up to this size of weights a step is too short for threads: handing work over costs more than it saves."""
SPIN_US: Final = 1000
"""So long, threads that wait for work poll: longer than what lies between two steps. A bound of 40 ms is not
faster beyond the noise, and uses a core for as long after the last run."""

_REMOTE: Final = frozenset({"AzureExecutionProvider"})
"""Providers that would send the model's inputs elsewhere are never used."""


_PLUGIN_ERRORS: Final[tuple[type[Exception], ...]] = (ImportError, AttributeError, OSError, *RUNTIME_ERRORS)


@dataclass(frozen=True, slots=True)
class Plugin:
    """A provider that comes as a package of its own and is registered by the path of its library."""

    name: str
    package: str
    devices: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Opened:
    """A session and what runs it. `nodes` counts nodes by provider; `fallback` is one line or None."""

    session: Session
    provider: str
    nodes: dict[str, int]
    fallback: str | None
    threads: int


@dataclass(frozen=True, slots=True)
class ProviderState:
    """One provider for people: `usable`, or `reason` says why not."""

    name: str
    usable: bool
    reason: str | None
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProviderReport:
    """What `turnwise doctor` shows of inference: `auto` names the provider that would be tried first."""

    versions: dict[str, str]
    providers: tuple[ProviderState, ...]
    auto: str
    cores: int


@dataclass(slots=True)
class _Found:
    builtin: list[str]
    plugins: list[Plugin] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)


def operator_threads(threads_max: int | None = None) -> int:
    """Threads of one operator: at most `threads_max`; None: all cores, or of three and more all but one.

    Threads that poll wait for the one that is kept from its core. On all cores, a step takes hardly less where nothing
    else runs, and more where something does.
    """
    usual = cores() - 1 if cores() > 2 else cores()
    return min(threads_max or usual, cores())


def versions() -> dict[str, str]:
    """Versions of everything that has a part in the numbers."""
    packages = ("onnxruntime", "onnxruntime-gpu", "numpy", "tokenizers", "jinja2", "llguidance")
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def open_session(
    spec: ModelSpec,
    graph: Path,
    weights_bytes: int,
    options: EngineOptions,
    threads: int | None = None,
    *,
    logits: str | None = None,
) -> Opened:
    """Load the graph on the best provider that `spec` allows, with as many threads as pay, or `threads`.

    With `logits`, the name of that output, only those of wanted positions are computed if the graph allows it.
    Raises ModelError if the graph cannot be loaded, if the provider is unknown here, or if `spec.require` is not met.
    """
    source = _source(graph, logits, spec.accuracy_level)
    found = _find()
    wanted = _wanted(spec, found)
    if threads is None:
        threads = 1 if weights_bytes <= SINGLE_THREAD_BYTES_MAX else operator_threads(options.threads_max)
    reasons: list[str] = []
    if spec.provider.lower() == "auto" and (no_cuda := _why_not(CUDA, found)):
        reasons.append(no_cuda)
    for name in wanted:
        if name == CPU and spec.require and spec.provider.lower() != "cpu":
            break
        reason = _why_not(name, found)
        if reason is not None:
            reasons.append(reason)
            continue
        try:
            session = _session(source, graph.parent, name, found, threads, options)
        except RUNTIME_ERRORS as error:
            if name == CPU:
                raise _unloadable(graph, error) from error
            reasons.append(f"{_short(name)} failed: {first_line(error)}")
            continue
        nodes = _nodes(session)
        if name in session.get_providers() and (nodes.get(name) or not nodes):
            return Opened(session, name, nodes, _line(spec, name, reasons), threads)
        reasons.append(f"ONNX Runtime could not start {_short(name)} (missing libraries or device)")
    raise ModelError(
        f"provider {spec.provider!r} is required and cannot be used: {'; '.join(reasons)}",
        where=f"models.{spec.name}",
        expected=spec.provider,
        actual=_short(CPU),
        hint="Install what is missing (turnwise doctor shows what is there), or drop require to fall back to the CPU.",
    )


def provider_report() -> ProviderReport:
    """Versions, providers, devices, and why the others are not used. Loads plugin libraries, but no model."""
    found = _find()
    states = []
    names = [CUDA, *[name for name in found.builtin if name not in (CUDA, CPU)]]
    for name in [*names, *[plugin.name for plugin in found.plugins if plugin.name not in names], CPU]:
        reason = None if name == CPU else _why_not(name, found)
        states.append(ProviderState(name, reason is None, reason, _devices(name)))
    states += [ProviderState(package, False, reason) for package, reason in sorted(found.broken.items())]
    auto = next((state.name for state in states if state.usable and _in_auto(state.name, found)), CPU)
    return ProviderReport(versions(), tuple(states), auto, cores())


def _find() -> _Found:
    found = _Found([name for name in ort.get_available_providers() if name not in _REMOTE])
    for package in sorted(_plugin_packages()):
        try:
            found.plugins.append(_register(package))
        except _PLUGIN_ERRORS as error:
            found.broken[package] = first_line(error)
    return found


def _plugin_packages() -> set[str]:
    names = {distribution.metadata["Name"] or "" for distribution in importlib.metadata.distributions()}
    return {name.lower() for name in names if name.lower().startswith(PLUGIN_PACKAGE_PREFIX)}


def _register(package: str) -> Plugin:
    """Register an installed plugin package by its library's path: `get_library_path()` and `get_ep_name()`."""
    module = importlib.import_module(package.replace("-", "_"))
    name = str(module.get_ep_name())
    if not any(device.ep_name == name for device in ort.get_ep_devices()):
        ort.register_execution_provider_library(package, str(module.get_library_path()))
    devices = tuple(device for device in ort.get_ep_devices() if device.ep_name == name)
    return Plugin(name, package, devices)


def _in_auto(name: str, found: _Found) -> bool:
    return name in (CUDA, CPU) or any(plugin.name == name for plugin in found.plugins)


def _wanted(spec: ModelSpec, found: _Found) -> list[str]:
    """ORT's names of the providers to try, best first."""
    asked = spec.provider.lower()
    plugins = [plugin.name for plugin in found.plugins]
    if asked == "auto":
        return [*([CUDA] if CUDA in found.builtin else []), *plugins, CPU]
    known = {_short(name): name for name in [*ort.get_all_providers(), *plugins] if name not in _REMOTE}
    known |= {name.lower(): name for name in known.values()}
    if asked not in known:
        here = sorted({_short(name) for name in [*found.builtin, *plugins]})
        raise ModelError(
            f"provider {spec.provider!r} is not known",
            where=f"models.{spec.name}.provider",
            expected=["auto", *here],
            actual=spec.provider,
            hint=f"Usable here: auto, {', '.join(here)}.",
        )
    name = known[asked]
    return [name] if name == CPU else [name, CPU]


def _why_not(name: str, found: _Found) -> str | None:
    """Why a provider cannot be used, as far as is known without a session."""
    plugin = next((plugin for plugin in found.plugins if plugin.name == name), None)
    if plugin is not None:
        return None if plugin.devices else f"{plugin.package} finds no device"
    if name in found.builtin:
        return None
    if name == CUDA:
        return "the installed onnxruntime has no CUDA (onnxruntime-gpu has)"
    return f"the installed onnxruntime has no {_short(name)}"


def _source(graph: Path, logits: str | None, accuracy_level: int | None) -> str | bytes:
    """What ONNX Runtime gets: the file's path, or its content rewritten."""
    content = None if accuracy_level is None else with_accuracy(graph.read_bytes(), accuracy_level)
    if logits is not None and graph.stat().st_size <= GRAPH_BYTES_MAX:
        positions = with_positions(content or graph.read_bytes(), logits)
        content = positions or content
    return content or str(graph)


def _session(
    source: str | bytes, folder: Path, name: str, found: _Found, threads: int, options: EngineOptions
) -> Session:
    settings = ort.SessionOptions()
    settings.log_severity_level = 3
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    settings.use_deterministic_compute = True
    spin = threads < cores() if options.spin is None else options.spin
    settings.add_session_config_entry("session.intra_op.allow_spinning", "1" if spin else "0")
    settings.add_session_config_entry("session.intra_op.spin_duration_us", str(SPIN_US))
    settings.add_session_config_entry("session.inter_op.allow_spinning", "0")
    settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if isinstance(source, bytes):
        settings.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    plugin = next((plugin for plugin in found.plugins if plugin.name == name), None)
    if plugin is not None:
        settings.add_provider_for_devices(list(plugin.devices[:1]), {})
        return ort.InferenceSession(source, sess_options=settings)
    providers = [name] if name == CPU else [name, CPU]
    return ort.InferenceSession(source, sess_options=settings, providers=providers, enable_fallback=0)


def _nodes(session: Session) -> dict[str, int]:
    counts: dict[str, int] = {}
    for part in session.get_provider_graph_assignment_info():
        counts[part.ep_name] = counts.get(part.ep_name, 0) + len(part.get_nodes())
    return dict(sorted(counts.items()))


def _line(spec: ModelSpec, used: str, reasons: list[str]) -> str | None:
    """The one line about a fallback, or None if the best provider that was asked for is used."""
    if not reasons:
        return None
    auto = spec.provider.lower() == "auto"
    asked = f"{_short(CUDA)} asked by auto" if auto else f"{spec.provider} asked"
    return f"model {spec.name}: {asked}, runs on {_short(used)} because {'; '.join(reasons)}"


def _unloadable(graph: Path, error: BaseException) -> ModelError:
    return ModelError(
        f"ONNX Runtime cannot load the graph: {first_line(error)}",
        where=str(graph),
        expected="a graph that onnxruntime " + ort.__version__ + " can run",
        hint="The file is damaged, incomplete, or made for another version: copy or build the model again.",
    )


def _devices(name: str) -> tuple[str, ...]:
    found = []
    for device in ort.get_ep_devices():
        if device.ep_name == name:
            kind = str(device.device.type).rpartition(".")[2]
            described = dict(device.device.metadata).get("Description", "")
            found.append(" ".join(part for part in (kind, device.device.vendor, described) if part))
    return tuple(found)


def _short(name: str) -> str:
    return name.removesuffix("ExecutionProvider").lower()
