from __future__ import annotations

import ctypes
from typing import Any

import pytest

from turnwise.errors import EnvironmentFailure
from turnwise.inference.onnx import cuda_driver
from turnwise.inference.onnx.cuda_driver import CudaDriver, Region

COPIED = (
    "srcDevice", "srcPitch", "srcHeight", "dstDevice", "dstPitch", "dstHeight", "WidthInBytes", "Height", "Depth",
)  # fmt: skip


class Library:
    """The driver's library, with one device. `codes` are what calls return that do not succeed."""

    def __init__(self, devices: int = 1) -> None:
        self.devices = devices
        self.codes: dict[str, int] = {}
        self.calls: list[str] = []
        self.copies: list[tuple[int, ...]] = []

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("cu"):
            raise AttributeError(name)

        def call(*arguments: Any) -> int:
            self.calls.append(name)
            if name == "cuDeviceGetCount":
                arguments[0]._obj.value = self.devices
            elif name == "cuMemAlloc_v2" and not self.codes.get(name):
                arguments[0]._obj.value = 0x1000
            elif name == "cuMemcpy3D_v2":
                self.copies.append(tuple(getattr(arguments[0]._obj, field) for field in COPIED))
            elif name == "cuGetErrorString":
                arguments[1]._obj.value = b"said by the driver"
            return self.codes.get(name, 0)

        return call


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    made = Library()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: made)
    return made


def test_a_copy_has_lines_and_planes(library: Library) -> None:
    """Of 3 tensors (planes) and 2 heads (lines): 2 positions of 16 bytes, between slabs of 8 and of 5 positions."""
    driver = CudaDriver()
    driver.copy(Region(1000, 8 * 16, 2 * 8 * 16), Region(5000, 5 * 16, 2 * 5 * 16), 3, 2, 32)
    assert library.copies == [(1000, 128, 2, 5000, 80, 2, 32, 2, 3)]
    assert library.calls.index("cuCtxSetCurrent") < library.calls.index("cuMemcpy3D_v2")


def test_memory_is_of_zeros_and_too_much_is_said(library: Library) -> None:
    driver = CudaDriver()
    assert driver.allocate(64) == 0x1000
    assert library.calls[-2:] == ["cuMemsetD8_v2", "cuCtxSynchronize"]
    library.codes["cuMemAlloc_v2"] = 2
    with pytest.raises(EnvironmentFailure, match="the device has no 3 MiB of memory left"):
        driver.allocate(3 << 20)


def test_what_fails_is_said_as_the_driver_says_it(library: Library) -> None:
    driver = CudaDriver()
    library.codes["cuMemcpyDtoH_v2"] = 700
    with pytest.raises(EnvironmentFailure, match=r"said by the driver \(cuMemcpyDtoH_v2\)") as caught:
        driver.read(1, 2, 3)
    assert caught.value.actual == 700


def test_memory_that_cannot_be_pinned_is_used_as_it_is(library: Library) -> None:
    driver = CudaDriver()
    assert driver.pin(0x2000, 64)
    library.codes["cuMemHostRegister_v2"] = 1
    assert not driver.pin(0x2000, 64)


def test_a_driver_without_a_device(library: Library) -> None:
    library.devices = 0
    with pytest.raises(EnvironmentFailure, match="sees no device"):
        CudaDriver()


def test_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_driver, "LIBRARY", "no such library.so")
    with pytest.raises(EnvironmentFailure, match="there is no NVIDIA driver"):
        CudaDriver()
