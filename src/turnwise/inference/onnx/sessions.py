"""Opens a graph on the providers that a model may run on, the best first, and goes on to the next where one fails.

ONNX Runtime falls back silently: a session asked for CUDA that cannot load its libraries runs on the CPU and says so
only in a log. So after a session is made we compare what was asked with the providers that it has and with the provider
of each node. Whoever then finds that a provider answers wrongly refuses it, and is given the next. What was seen on the
way is one line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Final

from turnwise.errors import EnvironmentFailure, ModelError
from turnwise.inference.onnx.accuracy_level import with_accuracy
from turnwise.inference.onnx.counted_memory import counted_memory
from turnwise.inference.onnx.cuda_driver import cuda_driver, device_is_there
from turnwise.inference.onnx.device import Cuda, Device
from turnwise.inference.onnx.device_tensors import DeviceTensors, PluginTensors
from turnwise.inference.onnx.gather_logits import with_positions
from turnwise.inference.onnx.protobuf import REWRITTEN_BYTES_MAX
from turnwise.inference.onnx.provider_names import CPU, CUDA, WEBGPU, short
from turnwise.inference.onnx.providers import Installed, cuda_options, installed, prepare_cuda, why_cuda_fails
from turnwise.inference.onnx.runtime import RUNTIME_ERRORS, Session, first_line, ort, unheard
from turnwise.inference.onnx.wide_logits import with_wide_logits
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.system.cores import cores

SINGLE_THREAD_BYTES_MAX: Final = 16 * 1024 * 1024
"""Up to this size of weights a step is too short for threads: handing work over costs more than it saves."""
SPIN_US: Final = 1000
"""Time for which threads that wait for work poll, longer than what lies between two steps. A bound of 40 ms is not
faster beyond the noise, and uses a core for as long after the last run."""
SPIN_ALL_CORES_US: Final = 10
"""The same where threads are as many as cores: as long as it takes from one product to the next, so that a thread that
is computing is waited for, and one that another process keeps from computing is not."""

IN_PLACE: Final = "GroupQueryAttention"

RECORDING_REFUSED: Final = "graph capture"
"""Words of ONNX Runtime's refusal to record a graph."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A session and what runs it.

    `nodes` counts nodes by provider; `fallback` is one line or None. `device` is where its tensors lie, None where that
    is the host, or memory that is not addressed from here; `tensors` is that memory, where it is had in whole tensors.
    `facts` name the device and what was set for it. `reproducible`: its kernels are those that give the same bits,
    where there is a choice. `recordings` has free numbers for recorded runs, None if it records none; then `unrecorded`
    says why, where it might have.
    """

    session: Session
    provider: str
    nodes: dict[str, int]
    fallback: str | None
    threads: int
    device: Device | None = None
    facts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    reproducible: bool = True
    tensors: DeviceTensors | None = None
    recordings: Iterator[int] | None = None
    unrecorded: str | None = None


class Sessions:
    """The sessions that a spec allows for a graph, one after the other.

    With as many threads as pay, or `threads`. With `logits`, the name of that output, only those of wanted positions
    are computed if the graph allows it.
    """

    def __init__(
        self,
        spec: ModelSpec,
        graph: Path,
        weights_bytes: int,
        options: EngineOptions,
        threads: int | None = None,
        *,
        logits: str | None = None,
        counted: bool = False,
    ) -> None:
        """Raises ModelError if the provider is unknown here. `counted`: its runs take memory that is bounded."""
        self._counted = counted
        self._spec = spec
        self._graph = graph
        self._options = options
        self._installed = installed()
        self._auto = spec.provider.lower() == "auto"
        self._wanted = _wanted(spec, self._installed)
        if threads is None:
            most = operator_threads(options.threads_max)
            threads = 1 if weights_bytes <= SINGLE_THREAD_BYTES_MAX else most
        self._threads = threads
        self._logits = logits
        self._source = _source(graph, logits, spec.accuracy_level)
        self._reasons: list[str] = []
        self._records = options.records
        self._unrecorded: str | None = None
        if self._auto and device_is_there() and (reason := self._installed.why_not(CUDA)):
            self._reasons.append(reason)

    def open(self) -> Opened:
        """Open a session on the best provider that is left. Raises ModelError if there is none, or for the graph."""
        while self._wanted:
            name = self._wanted.pop(0)
            if name == CPU and self._spec.require and self._spec.provider.lower() != "cpu":
                break
            opened = self._open(name)
            if isinstance(opened, Opened):
                return opened
            self._reasons.append(opened)
        raise ModelError(
            f"provider {self._spec.provider!r} is required and cannot be used: {'; '.join(self._reasons)}",
            where=f"models.{self._spec.name}",
            expected=self._spec.provider,
            actual=short(CPU),
            hint="Install what is missing (turnwise doctor shows what is there), or drop require to run it on the CPU.",
        )

    def refuse_recording(self, opened: Opened, seen: str) -> None:
        """The session is not used, but one of the same provider that records no runs, because of what was seen."""
        self._records, self._unrecorded = False, seen
        self._wanted.insert(0, opened.provider)

    def refuse(self, opened: Opened, seen: str) -> None:
        """The session is not used, because of what was seen of it."""
        self._reasons.append(f"{short(opened.provider)} {seen}")

    def _open(self, name: str) -> Opened | str:
        """Open a session on one provider; return it, or why there is none."""
        if reason := self._installed.why_not(name):
            return reason
        try:
            session = self._session(name)
        except RUNTIME_ERRORS as error:
            if name == CPU:
                raise _unloadable(self._graph, error) from error
            return f"{short(name)} failed: {first_line(error)}"
        nodes, apart = _nodes(session)
        if name not in session.get_providers() or (nodes and not nodes.get(name)):
            detail = why_cuda_fails() if name == CUDA else None
            return f"{short(name)} does not start: {detail or 'a library or the device is missing'}"
        if name == CUDA and apart:
            return f"{short(name)} has no {IN_PLACE} of this graph's type (it takes fp16), which would run on the cpu"
        try:
            device, facts = (None, self._installed.facts(name)) if name != CUDA else (Cuda(), self._cuda_facts())
        except EnvironmentFailure as error:
            return f"{short(name)} failed: {error.message}"
        line, reproducible = self._line(name), self._spec.reproducible
        numbers = count(1) if self._may_record(name) else None
        tensors = self._tensors(name)
        return Opened(
            session, name, nodes, line, self._threads, device, facts, reproducible, tensors, numbers, self._unrecorded
        )

    def _tensors(self, name: str) -> DeviceTensors | None:
        plugin = self._installed.plugin(name)
        return None if plugin is None or name != WEBGPU else PluginTensors(name, plugin.devices[0])

    def _may_record(self, name: str) -> bool:
        return self._records and name == CUDA and self._logits is not None

    def _session(self, name: str) -> Session:
        """Make a session, that records runs if it may and can."""
        if not self._may_record(name):
            return self._make(name)
        try:
            return self._make(name)
        except RUNTIME_ERRORS as error:
            if RECORDING_REFUSED not in str(error):
                raise
            self._records, self._unrecorded = False, "part of the graph runs on the cpu, or it branches"
            return self._make(name)

    def _make(self, name: str) -> Session:
        settings = ort.SessionOptions()
        settings.log_severity_level = 4
        settings.intra_op_num_threads = self._threads
        settings.inter_op_num_threads = 1
        settings.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        settings.use_deterministic_compute = self._spec.reproducible
        spin_us = self._options.spin_us
        if spin_us is None:
            spin_us = SPIN_US if self._threads < cores() else SPIN_ALL_CORES_US
        settings.add_session_config_entry("session.intra_op.allow_spinning", "1" if spin_us else "0")
        settings.add_session_config_entry("session.intra_op.spin_duration_us", str(spin_us))
        settings.add_session_config_entry("session.inter_op.allow_spinning", "0")
        settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        if self._counted:
            counted_memory().use(settings)
        source = self._source
        if name != CPU and self._logits is not None and self._graph.stat().st_size <= REWRITTEN_BYTES_MAX:
            content = source if isinstance(source, bytes) else self._graph.read_bytes()
            source = with_wide_logits(content, self._logits) or source
        if isinstance(source, bytes):
            folder = str(self._graph.parent)
            settings.add_session_config_entry("session.model_external_initializers_file_folder_path", folder)
        if (plugin := self._installed.plugin(name)) is not None:
            settings.add_provider_for_devices(list(plugin.devices[:1]), {})
            with unheard():
                return ort.InferenceSession(source, sess_options=settings, enable_fallback=0)
        providers: list[object] = [name] if name == CPU else [name, CPU]
        if name == CUDA:
            prepare_cuda(self._spec.reproducible)
            records = {"enable_cuda_graph": "1"} if self._may_record(name) else {}
            providers[0] = (CUDA, cuda_options(self._spec.reproducible) | records)
        with unheard() if name != CPU else nullcontext():
            return ort.InferenceSession(source, sess_options=settings, providers=providers, enable_fallback=0)

    def _cuda_facts(self) -> dict[str, str]:
        facts = cuda_driver().facts()
        reproducible = self._spec.reproducible
        given = {**cuda_options(reproducible), **prepare_cuda(reproducible)}
        return {
            "device": facts.name,
            "device multiprocessors": str(facts.multiprocessors),
            "device driver": facts.driver,
            "device settings": " ".join(f"{name}={value}" for name, value in sorted(given.items())),
        }

    def _line(self, used: str) -> str | None:
        """Return the one line about a fallback, or None if the best provider that was asked for is used."""
        if not self._reasons:
            return None
        asked = f"{short(CUDA)} asked by auto" if self._auto else f"{self._spec.provider} asked"
        return f"model {self._spec.name}: {asked}, runs on {short(used)} because {'; '.join(self._reasons)}"


def open_session(
    spec: ModelSpec,
    graph: Path,
    weights_bytes: int,
    options: EngineOptions,
    threads: int | None = None,
    *,
    logits: str | None = None,
    counted: bool = False,
) -> Opened:
    """Load the graph on the first provider that starts. `counted`: its runs take memory that is bounded.

    Raises ModelError if the graph cannot be loaded, if the provider is unknown here, or if `spec.require` is not met.
    """
    return Sessions(spec, graph, weights_bytes, options, threads, logits=logits, counted=counted).open()


def operator_threads(threads_max: int | None = None) -> int:
    """Threads of one operator: at most `threads_max`; None: all cores, or of three and more all but one.

    Threads that poll wait for the one that is kept from its core. On all cores, a step takes hardly less where nothing
    else runs, and more where something does.
    """
    usual = cores() - 1 if cores() > 2 else cores()
    return min(threads_max or usual, cores())


def _wanted(spec: ModelSpec, there: Installed) -> list[str]:
    """Providers in the order in which they are tried, the CPU last."""
    asked = spec.provider.lower()
    plugins = [plugin.name for plugin in there.plugins]
    if asked == "auto":
        cuda = [CUDA] if CUDA in there.builtin and device_is_there() else []
        return [*cuda, *[plugin.name for plugin in there.plugins if plugin.devices], CPU]
    known = {short(name): name for name in [*there.known, *plugins]}
    known |= {name.lower(): name for name in known.values()}
    if asked not in known:
        here = sorted({short(name) for name in [*there.builtin, *plugins]})
        raise ModelError(
            f"provider {spec.provider!r} is not known",
            where=f"models.{spec.name}.provider",
            expected=["auto", *here],
            actual=spec.provider,
            hint=f"Usable here: auto, {', '.join(here)}.",
        )
    name = known[asked]
    return [name] if name == CPU else [name, CPU]


def _source(graph: Path, logits: str | None, accuracy_level: int | None) -> str | bytes:
    """Source for ONNX Runtime: the file's path, or its content rewritten."""
    content = None if accuracy_level is None else with_accuracy(graph.read_bytes(), accuracy_level)
    if logits is not None and graph.stat().st_size <= REWRITTEN_BYTES_MAX:
        positions = with_positions(content or graph.read_bytes(), logits)
        content = positions or content
    return content or str(graph)


def _nodes(session: Session) -> tuple[dict[str, int], bool]:
    """Nodes by provider, and whether attention that keeps its cache in place runs on the CPU."""
    counts: dict[str, int] = {}
    apart = False
    for part in session.get_provider_graph_assignment_info():
        nodes = part.get_nodes()
        counts[part.ep_name] = counts.get(part.ep_name, 0) + len(nodes)
        apart = apart or (part.ep_name == CPU and any(node.op_type == IN_PLACE for node in nodes))
    return dict(sorted(counts.items())), apart


def _unloadable(graph: Path, error: BaseException) -> ModelError:
    return ModelError(
        f"ONNX Runtime cannot load the graph: {first_line(error)}",
        where=str(graph),
        expected="a graph that onnxruntime " + ort.__version__ + " can run",
        hint="The file is damaged, incomplete, or made for another version: copy or build the model again.",
    )
