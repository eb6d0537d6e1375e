"""NVIDIA's driver: which devices there are, and memory on them that is had, copied and given back.

ONNX Runtime copies whole tensors only, and the KV cache needs parts of them, from one place on the device to another.
So the driver is called directly: its interface (`libcuda.so.1`) is the same for every version of CUDA, comes with the
device and needs no package. All calls work in the device's primary context, which ONNX Runtime uses too.
"""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from turnwise.errors import EnvironmentFailure

LIBRARY: Final = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_NAME_BYTES_MAX: Final = 256
_MULTIPROCESSORS: Final = 16
_ON_DEVICE: Final = 2
_OUT_OF_MEMORY: Final = 2


@dataclass(frozen=True, slots=True)
class CudaDeviceFacts:
    """A device: its `name`, `memory_bytes`, number of `multiprocessors`, and the CUDA version of the `driver`."""

    name: str
    memory_bytes: int
    multiprocessors: int
    driver: str


@dataclass(frozen=True, slots=True)
class Region:
    """Planes of lines of bytes: the first line begins at `address`; lines and planes follow at their strides (bytes).

    `plane_stride` is a multiple of `line_stride`.
    """

    address: int
    line_stride: int
    plane_stride: int


class _Copy(ctypes.Structure):
    """CUDA_MEMCPY3D."""

    _fields_ = (
        ("srcXInBytes", ctypes.c_size_t),
        ("srcY", ctypes.c_size_t),
        ("srcZ", ctypes.c_size_t),
        ("srcLOD", ctypes.c_size_t),
        ("srcMemoryType", ctypes.c_uint),
        ("srcHost", ctypes.c_void_p),
        ("srcDevice", ctypes.c_uint64),
        ("srcArray", ctypes.c_void_p),
        ("reserved0", ctypes.c_void_p),
        ("srcPitch", ctypes.c_size_t),
        ("srcHeight", ctypes.c_size_t),
        ("dstXInBytes", ctypes.c_size_t),
        ("dstY", ctypes.c_size_t),
        ("dstZ", ctypes.c_size_t),
        ("dstLOD", ctypes.c_size_t),
        ("dstMemoryType", ctypes.c_uint),
        ("dstHost", ctypes.c_void_p),
        ("dstDevice", ctypes.c_uint64),
        ("dstArray", ctypes.c_void_p),
        ("reserved1", ctypes.c_void_p),
        ("dstPitch", ctypes.c_size_t),
        ("dstHeight", ctypes.c_size_t),
        ("WidthInBytes", ctypes.c_size_t),
        ("Height", ctypes.c_size_t),
        ("Depth", ctypes.c_size_t),
    )


def device_is_there() -> bool:
    """Return True if the system knows an NVIDIA device. Loads nothing."""
    if sys.platform == "win32":
        return (Path(os.environ.get("SYSTEMROOT", r"C:\Windows")) / "System32" / LIBRARY).exists()
    return any(Path(path).exists() for path in ("/dev/nvidiactl", "/dev/nvidia0", "/proc/driver/nvidia/version"))


class CudaDriver:
    """The first device that is visible. Raises EnvironmentFailure where there is no driver or no device."""

    def __init__(self) -> None:
        try:
            self._library: Any = ctypes.CDLL(LIBRARY)
        except OSError as error:
            raise EnvironmentFailure(f"there is no NVIDIA driver: {error}", expected=LIBRARY) from error
        self._call("cuInit", 0)
        count = ctypes.c_int()
        self._call("cuDeviceGetCount", ctypes.byref(count))
        if count.value < 1:
            raise EnvironmentFailure("the NVIDIA driver sees no device", expected="at least one", actual=count.value)
        self._device = ctypes.c_int()
        self._call("cuDeviceGet", ctypes.byref(self._device), 0)
        self._context = ctypes.c_void_p()
        self._retained = False

    def facts(self) -> CudaDeviceFacts:
        """Facts of the device."""
        name = ctypes.create_string_buffer(_NAME_BYTES_MAX)
        memory, multiprocessors, version = ctypes.c_size_t(), ctypes.c_int(), ctypes.c_int()
        self._call("cuDeviceGetName", name, _NAME_BYTES_MAX, self._device)
        self._call("cuDeviceTotalMem_v2", ctypes.byref(memory), self._device)
        self._call("cuDeviceGetAttribute", ctypes.byref(multiprocessors), _MULTIPROCESSORS, self._device)
        self._call("cuDriverGetVersion", ctypes.byref(version))
        driver = f"CUDA {version.value // 1000}.{version.value % 1000 // 10}"
        return CudaDeviceFacts(name.value.decode(errors="replace"), memory.value, multiprocessors.value, driver)

    def free_bytes(self) -> int:
        """Memory that nobody has taken."""
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self._enter()
        self._call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value

    def allocate(self, size_bytes: int) -> int:
        """Address of new memory of zeros. Raises EnvironmentFailure if there is not so much."""
        address = ctypes.c_uint64()
        self._enter()
        self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size_bytes), size_bytes=size_bytes)
        self._call("cuMemsetD8_v2", address, ctypes.c_ubyte(0), ctypes.c_size_t(size_bytes))
        self._call("cuCtxSynchronize")
        return address.value

    def free(self, address: int) -> None:
        """Give memory back."""
        self._enter()
        self._call("cuMemFree_v2", ctypes.c_uint64(address))

    def copy(self, source: Region, target: Region, planes: int, lines: int, line_bytes: int) -> None:
        """Copy `planes` of `lines` of `line_bytes` bytes. They may still be on their way until `synchronize`."""
        self._enter()
        copy = _Copy(
            srcMemoryType=_ON_DEVICE,
            srcDevice=source.address,
            srcPitch=source.line_stride,
            srcHeight=source.plane_stride // source.line_stride,
            dstMemoryType=_ON_DEVICE,
            dstDevice=target.address,
            dstPitch=target.line_stride,
            dstHeight=target.plane_stride // target.line_stride,
            WidthInBytes=line_bytes,
            Height=lines,
            Depth=planes,
        )
        self._call("cuMemcpy3D_v2", ctypes.byref(copy))

    def synchronize(self) -> None:
        """Wait until all that was begun on the device is done."""
        self._enter()
        self._call("cuCtxSynchronize")

    def read(self, address: int, into: int, size_bytes: int) -> None:
        """Copy from the device to the host address `into`."""
        self._enter()
        self._call("cuMemcpyDtoH_v2", ctypes.c_void_p(into), ctypes.c_uint64(address), ctypes.c_size_t(size_bytes))

    def write(self, address: int, source: int, size_bytes: int) -> None:
        """Copy from the host address `source` to the device."""
        self._enter()
        self._call("cuMemcpyHtoD_v2", ctypes.c_uint64(address), ctypes.c_void_p(source), ctypes.c_size_t(size_bytes))

    def pin(self, address: int, size_bytes: int) -> bool:
        """Keep memory of the host where it lies, so that it is copied to faster. Whether that was possible."""
        self._enter()
        return not self._library.cuMemHostRegister_v2(ctypes.c_void_p(address), ctypes.c_size_t(size_bytes), 0)

    def unpin(self, address: int) -> None:
        """End what `pin` began."""
        self._enter()
        self._call("cuMemHostUnregister", ctypes.c_void_p(address))

    def _enter(self) -> None:
        """Make the device's primary context this thread's."""
        if not self._retained:
            self._call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), self._device)
            self._retained = True
        self._call("cuCtxSetCurrent", self._context)

    def _call(self, name: str, *arguments: object, size_bytes: int | None = None) -> None:
        code = getattr(self._library, name)(*arguments)
        if not code:
            return
        text = ctypes.c_char_p()
        self._library.cuGetErrorString(code, ctypes.byref(text))
        said = text.value.decode(errors="replace") if text.value else f"error {code}"
        if code == _OUT_OF_MEMORY and size_bytes is not None:
            said = f"the device has no {size_bytes / 2**20:,.0f} MiB of memory left"
        raise EnvironmentFailure(f"{said} ({name})", actual=code)


@cache
def cuda_driver() -> CudaDriver:
    """Return the driver of this process."""
    return CudaDriver()
