"""Drivers that a program finds when it asks for Vulkan, by the files that announce them. Nothing is loaded.

WebGPU does not say which driver it uses. What is there is enough to notice that another one has been installed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

MANIFEST_BYTES_MAX: Final = 64 * 1024
MANIFESTS_MAX: Final = 64
FOLDERS: Final = (Path("/etc/vulkan/icd.d"), Path("/usr/local/share/vulkan/icd.d"), Path("/usr/share/vulkan/icd.d"))
NVIDIA_VERSIONS: Final = (Path("/sys/module/nvidia/version"), Path("/proc/driver/nvidia/version"))


def vulkan_drivers(
    environment: Mapping[str, str] = os.environ,
    folders: tuple[Path, ...] = FOLDERS,
    nvidia: tuple[Path, ...] = NVIDIA_VERSIONS,
) -> str:
    """Return the drivers that are announced, with the version of each, in order; empty where none is."""
    if not sys.platform.startswith("linux"):
        return ""
    named = environment.get("VK_DRIVER_FILES") or environment.get("VK_ICD_FILENAMES")
    if named:
        files = [Path(part) for part in named.split(os.pathsep) if part]
    else:
        files = [path for folder in folders for path in sorted(folder.glob("*.json"))]
    found = sorted({driver for path in files[:MANIFESTS_MAX] for driver in _announced(path)})
    kernel = next((text for path in nvidia if (text := _text(path))), "")
    return ", ".join([*found, *([f"nvidia {kernel.splitlines()[0].strip()}"] if kernel.strip() else [])])


def _announced(path: Path) -> Iterator[str]:
    """Yield the driver of one file: the name of its library, the API's version, and the library's size if it is known.

    A file that cannot be read, or is none, announces nothing.
    """
    try:
        driver = json.loads(_text(path))["ICD"]
        library, version = str(driver["library_path"]), str(driver["api_version"])
    except (ValueError, KeyError, TypeError):
        return
    try:
        size = f" {(path.parent / library).stat().st_size}" if "/" in library else ""
    except OSError:
        size = ""
    yield f"{Path(library).name} {version}{size}"


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(MANIFEST_BYTES_MAX)
    except OSError:
        return ""
