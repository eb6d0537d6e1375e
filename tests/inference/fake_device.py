"""A device that lies in the host's memory, and is as strict as one that does not.

Inputs of the host are copied when they are bound, outputs for the host when the graph has run, and copies on the device
are made when somebody waits for them: whoever relies on more than that gets what lay there before.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from turnwise.errors import EnvironmentFailure
from turnwise.inference.onnx.cuda_driver import Region
from turnwise.inference.onnx.provider_names import CPU, CUDA, WEBGPU
from turnwise.inference.onnx.runtime import Session, ort
from turnwise.inference.onnx.sessions import Opened, open_session
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_spec import ModelSpec


class FakeMemory:
    def __init__(self, size_bytes: int) -> None:
        self.bytes: NDArray[np.uint8] = np.zeros(max(1, size_bytes), np.uint8)
        self.address = int(self.bytes.ctypes.data)


class FakeDevice:
    """Memory that only its own methods and sessions may touch. `memory_bytes` bounds what lives at once."""

    kind = "cuda"

    def __init__(self, multiprocessors: int = 4, memory_bytes: int = 1 << 40) -> None:
        self.multiprocessors = multiprocessors
        self._memory_bytes = memory_bytes
        self._live: weakref.WeakSet[FakeMemory] = weakref.WeakSet()
        self._begun: list[Callable[[], object]] = []

    def free_bytes(self) -> int:
        return self._memory_bytes - sum(memory.bytes.nbytes for memory in self._live)

    def allocate(self, size_bytes: int) -> FakeMemory:
        if size_bytes > self.free_bytes():
            raise EnvironmentFailure("the device has no memory left")
        memory = FakeMemory(size_bytes)
        self._live.add(memory)
        return memory

    def copy(self, source: Region, target: Region, planes: int, lines: int, line_bytes: int) -> None:
        for plane in range(planes):
            for line in range(lines):
                addresses = [
                    region.address + plane * region.plane_stride + line * region.line_stride
                    for region in (target, source)
                ]
                for address in addresses:
                    self.check(address, line_bytes)
                self._begun.append(partial(ctypes.memmove, addresses[0], addresses[1], line_bytes))

    def finish(self) -> None:
        begun, self._begun = self._begun, []
        for copy in begun:
            copy()

    def read(self, address: int, into: int, size_bytes: int) -> None:
        self.check(address, size_bytes)
        ctypes.memmove(into, address, size_bytes)

    def write(self, address: int, source: int, size_bytes: int) -> None:
        self.check(address, size_bytes)
        ctypes.memmove(address, source, size_bytes)

    def pin(self, array: NDArray[Any]) -> object:
        return array

    def check(self, address: int, size_bytes: int) -> None:
        """Fail unless all of it is memory of this device that somebody holds."""
        inside = any(
            memory.address <= address and address + size_bytes <= memory.address + memory.bytes.nbytes
            for memory in self._live
        )
        assert inside, f"{size_bytes} bytes at {address:#x} are not the device's"


class FakeBinding:
    """IOBinding as it is for a session on a device."""

    def __init__(self, real: Any, device: FakeDevice) -> None:
        self.real = real
        self._device = device
        self._inputs: dict[str, NDArray[np.uint8]] = {}
        self.outputs: dict[str, tuple[NDArray[np.uint8], int]] = {}
        self.rows = self.new_tokens = 0
        self.logits = np.empty(0, np.float32)

    def bind_input(self, name: str, kind: str, number: int, dtype: Any, shape: tuple[int, ...], address: int) -> None:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if name == "input_ids":
            self.rows, self.new_tokens = shape
        if kind == "cpu":
            copied = np.zeros(max(1, size), np.uint8)
            ctypes.memmove(copied.ctypes.data, address, size)
            self._inputs[name] = copied
            address = int(copied.ctypes.data)
        else:
            self._device.check(address, size)
        self.real.bind_input(name, "cpu", number, dtype, shape, address)

    def bind_output(self, name: str, kind: str, number: int, dtype: Any, shape: tuple[int, ...], address: int) -> None:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        self.outputs.pop(name, None)
        if kind == "cpu":
            there = np.zeros(max(1, size), np.uint8)
            self.outputs[name] = there, address
            address = int(there.ctypes.data)
        else:
            self._device.check(address, size)
            if name == "logits":
                there = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))
                self.logits = there.view(dtype)
        self.real.bind_output(name, "cpu", number, dtype, shape, address)

    def bind_ortvalue_input(self, name: str, tensor: Any) -> None:
        self.real.bind_ortvalue_input(name, tensor)

    def bind_ortvalue_output(self, name: str, tensor: Any) -> None:
        self.real.bind_ortvalue_output(name, tensor)

    def bring_back(self) -> None:
        for there, address in self.outputs.values():
            ctypes.memmove(address, there.ctypes.data, there.nbytes)


class FakeSession:
    """A session of the CPU that is said to run on a device.

    It raises `refuses` instead of running, and `spoil` changes what has come out of a run (`spoil_replay`: of one that
    is recorded), if they are set. Run again under a number, it runs what was bound when the number was new.
    """

    def __init__(self, real: Any, device: FakeDevice, provider: str = CUDA, records: bool = False) -> None:
        self._real = real
        self._device = device
        self._provider = provider
        self.records = records
        self.recorded: dict[int, FakeBinding] = {}
        self.spoil_replay: Callable[[FakeBinding], None] | None = None
        self.refuses: Exception | None = None
        self.spoil: Callable[[FakeBinding], None] | None = None

    def io_binding(self) -> FakeBinding:
        return FakeBinding(self._real.io_binding(), self._device)

    def run_with_iobinding(self, binding: FakeBinding, options: Any = None) -> None:
        if self.refuses is not None:
            raise self.refuses
        number = -1 if options is None else int(options.get_run_config_entry("gpu_graph_id"))
        if options is None and self.records:
            raise AssertionError("a session that records would record this run")
        if number >= 0:
            if not self.records:
                raise RuntimeError("this session records nothing")
            binding = self.recorded.setdefault(number, binding)
        self._real.run_with_iobinding(binding.real)
        if self.spoil is not None:
            self.spoil(binding)
        if number >= 0 and self.spoil_replay is not None:
            self.spoil_replay(binding)
        binding.bring_back()

    def release_captured_graph(self, number: int) -> None:
        self.recorded.pop(number, None)

    def get_providers(self) -> list[str]:
        return [self._provider, CPU]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def open_on_device(
    spec: ModelSpec,
    graph: Path,
    weights_bytes: int,
    logits: str | None,
    device: FakeDevice,
    *,
    records: bool = False,
) -> Opened:
    """The graph on the device, whose session may record runs."""
    here = ModelSpec(spec.name, spec.path, "cpu", variant=spec.variant)
    opened = open_session(here, graph, weights_bytes, EngineOptions(), 1, logits=logits)
    facts = {"device": "fake", "device multiprocessors": str(device.multiprocessors)}
    session = FakeSession(opened.session, device, records=records)
    numbers = count(1) if records else None
    return Opened(session, CUDA, {CUDA: 1}, None, 1, device, facts, spec.reproducible, recordings=numbers)


class FakeTensors:
    """A device that knows whole tensors only. A new one holds what is no number, so whoever reads it is seen.

    `memory_bytes` bounds what lives at once, and `taken_bytes` is that.
    """

    def __init__(self, memory_bytes: int = 1 << 40) -> None:
        self.memory_bytes = memory_bytes
        self._live: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._sessions: dict[bytes, Session] = {}
        self.copies = 0

    @property
    def taken_bytes(self) -> int:
        return sum(self._live.values())

    def allocate(self, shape: Sequence[int], dtype: np.dtype[Any]) -> Any:
        numbers = np.full(tuple(shape), np.nan, dtype)
        if self.taken_bytes + numbers.nbytes > self.memory_bytes:
            raise EnvironmentFailure("the device has no memory left")
        tensor = ort.OrtValue.ortvalue_from_numpy(numbers)
        self._live[tensor] = numbers.nbytes
        return tensor

    def session(self, model: bytes) -> Session:
        if model not in self._sessions:
            self._sessions[model] = ort.InferenceSession(model, providers=[CPU])
        return _Counted(self._sessions[model], self)


class _Counted:
    def __init__(self, real: Session, device: FakeTensors) -> None:
        self._real = real
        self._device = device

    def io_binding(self) -> Any:
        return self._real.io_binding()

    def run_with_iobinding(self, binding: Any) -> None:
        self._device.copies += 1
        self._real.run_with_iobinding(binding)


def open_on_tensors(spec: ModelSpec, graph: Path, weights_bytes: int, logits: str, device: FakeTensors) -> Opened:
    """The graph on a device that knows whole tensors only."""
    here = ModelSpec(spec.name, spec.path, "cpu", variant=spec.variant)
    opened = open_session(here, graph, weights_bytes, EngineOptions(), 1, logits=logits)
    session = FakeSession(opened.session, FakeDevice(), WEBGPU)
    facts = {"device": "fake"}
    return Opened(session, WEBGPU, {WEBGPU: 1}, None, 1, None, facts, spec.reproducible, device)
