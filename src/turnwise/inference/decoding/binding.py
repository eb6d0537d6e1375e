"""Bindings of what a graph reads and writes, by address: one rule for the host and for devices.

The host's provider reads an array where it lies, so a binding holds until the array is another. A device's provider
copies an array of the host **when it is bound**: what is written into the array later is not seen. So on a device every
array of the host is bound again before each run, or it has a place there, to which it is copied before each run.
Memory of the device itself (the KV cache, logits of which only some are read back) is bound by its address, once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from turnwise.errors import InvariantError
from turnwise.inference.onnx.device import Device, DeviceMemory, kind_of
from turnwise.inference.onnx.runtime import RunOptions, Session

ALIGNED_BYTES: Final = 256
"""Inputs on a device begin at multiples of this, as memory of its own does."""


@dataclass(frozen=True, slots=True)
class _HostInput:
    array: NDArray[Any]
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        return int(np.prod(self.shape)) * self.array.itemsize


class Binding:
    """The inputs and outputs of one session's runs.

    `on_host`: the provider works in the host's memory. `device` is whose memory is addressed from here, if any is.
    """

    def __init__(self, session: Session, *, on_host: bool, device: Device | None = None) -> None:
        self._session = session
        self._on_host = on_host
        self._device = device
        self._inputs: dict[str, _HostInput] = {}
        self._unread: dict[str, _DeviceOutput] = {}
        self.raw: Any = session.io_binding()

    def read(self, name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
        """The input `name` is the beginning of an array of the host, of this shape, as it is when the graph runs."""
        self._inputs[name] = _HostInput(array, shape)
        if self._on_host:
            self._bind(name, self._inputs[name])

    def write(self, name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
        """The output `name` goes to the beginning of an array of the host."""
        self._unread.pop(name, None)
        self.raw.bind_output(name, "cpu", 0, array.dtype, shape, array.ctypes.data)

    def write_there(self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        """The output `name` stays on the device, until `fetch` reads a part of it."""
        if self._device is None:
            raise InvariantError("there is no device whose memory could be bound")
        output = _DeviceOutput(self._device, dtype, shape, self._unread.get(name))
        output.bind(name, self.raw)
        self._unread[name] = output

    def fetch(self, name: str, count: int, position: int, into: NDArray[Any]) -> NDArray[Any]:
        """Read one position of the first rows of an output that stayed on the device: [count, numbers]."""
        return self._unread[name].fetch(count, position, into)

    @property
    def addresses(self) -> tuple[int, ...]:
        """Addresses of the outputs that stay on the device."""
        return tuple(output.memory.address for output in self._unread.values())

    def resident(self) -> ResidentBinding:
        """Bind the same outputs, and the same inputs with places of their own on the device."""
        if self._device is None:
            raise InvariantError("there is no device on which inputs could lie")
        return ResidentBinding(self._session, self._device, self._inputs, self._unread)

    def run(self, options: RunOptions | None = None) -> None:
        """Run the graph."""
        if not self._on_host:
            for name, given in self._inputs.items():
                self._bind(name, given)
        self._session.run_with_iobinding(self.raw, options)

    def run_resident(self, binding: ResidentBinding, options: RunOptions | None) -> None:
        """Run the graph with inputs of the same shapes, copied to where `binding` has them, and its outputs."""
        binding.take(self._inputs)
        self._session.run_with_iobinding(binding.raw, options)

    def _bind(self, name: str, given: _HostInput) -> None:
        array = given.array
        self.raw.bind_input(name, "cpu", 0, array.dtype, given.shape, array.ctypes.data)


class ResidentBinding:
    """A binding all of which lies on a device, at addresses that stay: inputs in one block, copied there at once."""

    def __init__(
        self, session: Session, device: Device, inputs: dict[str, _HostInput], outputs: dict[str, _DeviceOutput]
    ) -> None:
        self.raw: Any = session.io_binding()
        self._device = device
        self._outputs = dict(outputs)
        size = sum(-(-given.size_bytes // ALIGNED_BYTES) * ALIGNED_BYTES for given in inputs.values())
        self._there: DeviceMemory = device.allocate(max(1, size))
        self._here = np.zeros(size, np.uint8)
        self._pinned = device.pin(self._here)
        self._views: dict[str, NDArray[Any]] = {}
        start = 0
        for name, given in inputs.items():
            address = self._there.address + start
            self.raw.bind_input(name, kind_of(device), 0, given.array.dtype, given.shape, address)
            self._views[name] = self._here[start : start + given.size_bytes].view(given.array.dtype)
            start += -(-given.size_bytes // ALIGNED_BYTES) * ALIGNED_BYTES
        for name, output in outputs.items():
            output.bind(name, self.raw)

    def take(self, inputs: dict[str, _HostInput]) -> None:
        """Copy inputs to their places."""
        for name, given in inputs.items():
            view = self._views[name]
            view[:] = given.array.reshape(-1)[: view.size]
        self._device.write(self._there.address, self._here.ctypes.data, self._here.nbytes)


class _DeviceOutput:
    """Memory for [rows, positions, numbers] on a device; that of `before` if it is large enough."""

    def __init__(
        self, device: Device, dtype: np.dtype[Any], shape: tuple[int, ...], before: _DeviceOutput | None
    ) -> None:
        self._device = device
        self._dtype = dtype
        self._shape = shape
        self._line_bytes = shape[-1] * dtype.itemsize
        self.size_bytes = shape[0] * shape[1] * self._line_bytes
        if before is not None and before.size_bytes >= self.size_bytes:
            self.size_bytes = before.size_bytes
            self.memory: DeviceMemory = before.memory
        else:
            self.memory = device.allocate(self.size_bytes)

    def bind(self, name: str, raw: Any) -> None:
        raw.bind_output(name, kind_of(self._device), 0, self._dtype, self._shape, self.memory.address)

    def fetch(self, count: int, position: int, into: NDArray[Any]) -> NDArray[Any]:
        _, positions, numbers = self._shape
        read = into[: count * numbers].reshape(count, numbers)
        if positions == 1:
            self._device.read(self.memory.address, read.ctypes.data, count * self._line_bytes)
            return read
        for row in range(count):
            address = self.memory.address + (row * positions + position) * self._line_bytes
            self._device.read(address, read[row].ctypes.data, self._line_bytes)
        return read
