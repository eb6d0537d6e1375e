"""Rights that the inference process gives up when its models are loaded.

A model folder is not trusted, and neither is what its graph does inside ONNX Runtime: so once everything is loaded, the
process can open no file, make no connection and start no program any more (`turnwise.confine`). What it may still want
of Python by then is imported before.

Where a model runs on a device, its driver lives in the process, and wants device files, libraries and system calls that
differ from one driver to the next. These stay open: what is readable there is the same on every machine with that
driver, and nobody's data. All other files, connections, programs and other processes are given up as elsewhere.
"""

from __future__ import annotations

import importlib
import os
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from turnwise.confine import KeptFiles, Measure, ProcessNeeds, give_up_calls, give_up_files
from turnwise.inference.onnx.provider_names import CPU

NEEDS: Final = ProcessNeeds(threads=True)
"""ONNX Runtime and numpy have threads, and memory of their own."""

NEEDS_ON_DEVICE: Final = ProcessNeeds(threads=True, new_code=True, files_max=None, locked_memory=True, driver=True)
"""A driver compiles code, pins memory, and opens files as it likes."""

LIBRARIES: Final = (
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/lib",
    "/lib64",
    "/opt",
    "/usr/local/cuda",
    "/usr/local/nvidia",
)
SYSTEM_FACTS: Final = (
    "/etc/ld.so.cache", "/etc/vulkan", "/usr/share/vulkan", "/usr/share/nvidia", "/proc/driver", "/proc/cpuinfo",
    "/proc/devices", "/proc/meminfo", "/proc/modules", "/proc/sys/vm", "/sys/bus", "/sys/class", "/sys/devices",
)  # fmt: skip
LIBRARY_PACKAGES: Final = ("nvidia", "onnxruntime")
"""Packages whose libraries are loaded when they are first wanted: folders on Python's path that have one are kept."""

PYTHON_PATHS: Final = ("stdlib", "platstdlib", "purelib", "platlib")
DEVICES: Final = ("nvidia*", "dri", "dxg", "kfd", "null", "zero", "urandom")
"""Names of device files in /dev, as patterns."""

_WANTED_LATER: Final = (
    *(f"encodings.{name}" for name in ("ascii", "latin_1", "raw_unicode_escape", "unicode_escape", "utf_16", "utf_8")),
    *("jinja2.debug", "linecache", "numpy.random", "traceback", "unicodedata"),
)
"""Modules that Python and the libraries import when they first need them."""


def give_up(providers: Iterable[str]) -> tuple[Measure, ...]:
    """Give up files, network and programs, for good, but what the drivers of these execution providers need."""
    for name in _WANTED_LATER:
        importlib.import_module(name)
    if set(providers) <= {CPU}:
        return (*give_up_files(), *give_up_calls(NEEDS))
    return (*give_up_files(_kept_for_drivers()), *give_up_calls(NEEDS_ON_DEVICE))


def _kept_for_drivers() -> KeptFiles:
    """Return the files that drivers open at any time: libraries are loaded when a kernel is first wanted."""
    packages = {Path(place) for place in map(sysconfig.get_path, PYTHON_PATHS)}
    packages |= {
        Path(place) for place in sys.path if place and any(Path(place, name).is_dir() for name in LIBRARY_PACKAGES)
    }
    named = [Path(name).parent for name in os.environ.get("VK_ICD_FILENAMES", "").split(os.pathsep) if name]
    found = [Path(name) for name in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep) if name]
    read = [*map(Path, LIBRARIES), *map(Path, SYSTEM_FACTS), *sorted(packages), *named, *found, Path("/proc/self")]
    devices = [path for pattern in DEVICES for path in sorted(Path("/dev").glob(pattern))]
    return KeptFiles(tuple(read), tuple(devices))
