from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from turnwise.inference.onnx.vulkan_drivers import vulkan_drivers

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="files announce drivers on Linux")


def announce(folder: Path, name: str, library: str, version: str = "1.4.300") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(
        json.dumps({"file_format_version": "1.0.0", "ICD": {"library_path": library, "api_version": version}})
    )
    return path


def test_what_is_announced_is_found(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    announce(first, "z", "libGLX_nvidia.so.0")
    announce(second, "lvp", "libvulkan_lvp.so", "1.3.1")
    (first / "broken.json").write_text("{")
    (first / "other.json").write_text("[]")
    kernel = tmp_path / "version"
    kernel.write_text("580.159.03\nmore\n")
    found = vulkan_drivers({}, (first, second, tmp_path / "none"), (tmp_path / "none", kernel))
    assert found == "libGLX_nvidia.so.0 1.4.300, libvulkan_lvp.so 1.3.1, nvidia 580.159.03"
    assert vulkan_drivers({}, (tmp_path / "none",), ()) == ""


def test_another_driver_is_noticed(tmp_path: Path) -> None:
    """By its version, and where its file is known, by that one's size."""
    library = tmp_path / "libdriver.so"
    library.write_bytes(b"one")
    path = announce(tmp_path, "driver", "./libdriver.so")
    before = vulkan_drivers({"VK_ICD_FILENAMES": str(path)}, (), ())
    assert before == "libdriver.so 1.4.300 3"
    library.write_bytes(b"another")
    after = vulkan_drivers({"VK_DRIVER_FILES": str(path)}, (), ())
    assert after == "libdriver.so 1.4.300 7"
    announce(tmp_path, "driver", str(library), "1.4.301")
    assert vulkan_drivers({"VK_DRIVER_FILES": str(path)}, (), ()) == "libdriver.so 1.4.301 7"
