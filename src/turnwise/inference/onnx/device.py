"""Memory on a device, where a session's tensors lie that is not run by the host's processor.

On a device, memory is had by its size and known by its address; parts of it are copied from place to place there, and
read back. The host's memory is numpy's, and wherever a `Device` may be named, None means the host.
"""

from __future__ import annotations

import sys
from typing import Any, Final, Protocol

from numpy.typing import NDArray

from turnwise.inference.onnx.cuda_driver import CudaDriver, Region, cuda_driver


class DeviceMemory(Protocol):
    """Memory on a device, given back when nobody refers to it any more."""

    @property
    def address(self) -> int: ...


class Device(Protocol):
    """A device with memory of its own. `kind` is ONNX Runtime's word for it (`cuda`)."""

    @property
    def kind(self) -> str: ...

    @property
    def multiprocessors(self) -> int: ...

    def free_bytes(self) -> int:
        """Memory that nobody has taken."""
        ...

    def allocate(self, size_bytes: int) -> DeviceMemory:
        """New memory of zeros. Raises EnvironmentFailure if there is not so much."""
        ...

    def copy(self, source: Region, target: Region, planes: int, lines: int, line_bytes: int) -> None:
        """Begin to copy within the device. Both regions have so many planes of so many lines of so many bytes."""
        ...

    def finish(self) -> None:
        """Wait until all copies have been made."""
        ...

    def read(self, address: int, into: int, size_bytes: int) -> None:
        """Copy to the host address `into`."""
        ...

    def write(self, address: int, source: int, size_bytes: int) -> None:
        """Copy from the host address `source`."""
        ...

    def pin(self, array: NDArray[Any]) -> object:
        """Keep an array of the host where it lies for as long as the result lives: it is read into faster then."""
        ...


class _CudaMemory:
    def __init__(self, driver: CudaDriver, size_bytes: int) -> None:
        self._driver = driver
        self.address = driver.allocate(size_bytes)

    def __del__(self) -> None:
        # When the interpreter ends, the driver takes everything back by itself.
        if getattr(self, "address", 0) and not sys.is_finalizing():
            self._driver.free(self.address)


class _Pinned:
    def __init__(self, driver: CudaDriver, array: NDArray[Any]) -> None:
        self._driver = driver
        self._array = array
        self._held = driver.pin(array.ctypes.data, array.nbytes)

    def __del__(self) -> None:
        if getattr(self, "_held", False) and not sys.is_finalizing():
            self._driver.unpin(self._array.ctypes.data)


class Cuda:
    """The first NVIDIA device."""

    kind: Final = "cuda"

    def __init__(self) -> None:
        self._driver = cuda_driver()
        self.multiprocessors = self._driver.facts().multiprocessors

    def free_bytes(self) -> int:
        return self._driver.free_bytes()

    def allocate(self, size_bytes: int) -> DeviceMemory:
        return _CudaMemory(self._driver, size_bytes)

    def copy(self, source: Region, target: Region, planes: int, lines: int, line_bytes: int) -> None:
        self._driver.copy(source, target, planes, lines, line_bytes)

    def finish(self) -> None:
        self._driver.synchronize()

    def read(self, address: int, into: int, size_bytes: int) -> None:
        self._driver.read(address, into, size_bytes)

    def write(self, address: int, source: int, size_bytes: int) -> None:
        self._driver.write(address, source, size_bytes)

    def pin(self, array: NDArray[Any]) -> object:
        return _Pinned(self._driver, array)


def kind_of(device: Device | None) -> str:
    """ONNX Runtime's word for where memory lies."""
    return "cpu" if device is None else device.kind
