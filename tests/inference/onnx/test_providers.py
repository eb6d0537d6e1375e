from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest

from tests.inference import toy
from turnwise.errors import ModelError
from turnwise.inference.engine.load import load_model
from turnwise.inference.onnx import providers, sessions
from turnwise.inference.onnx.provider_names import CPU, CUDA
from turnwise.inference.onnx.providers import provider_report
from turnwise.inference.onnx.runtime import ort
from turnwise.inference.plans.model_info import ModelInfo
from turnwise.inference.plans.model_spec import ModelSpec

HAS_CUDA = CUDA in ort.get_available_providers()


def load(path: Path, provider: str, *, require: bool = False) -> ModelInfo:
    return load_model(ModelSpec("m", path, provider, require)).info


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return toy.write_folder(tmp_path)


@pytest.mark.skipif(HAS_CUDA, reason="this onnxruntime has CUDA")
class TestWithoutCuda:
    def test_without_a_device_nothing_is_said_of_cuda(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sessions, "device_is_there", lambda: False)
        monkeypatch.setattr(providers, "device_is_there", lambda: False)
        info = load(folder, "auto")
        assert (info.provider, info.fallback) == (CPU, None)
        assert CUDA not in {state.name for state in provider_report().providers}

    def test_auto_says_in_one_line_why_the_cpu(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sessions, "device_is_there", lambda: True)
        monkeypatch.setattr(providers, "device_is_there", lambda: True)
        states = {state.name: state for state in provider_report().providers}
        assert not states[CUDA].usable
        info = load(folder, "auto")
        assert info.fallback == (
            "model m: cuda asked by auto, runs on cpu "
            "because the installed onnxruntime has no CUDA (onnxruntime-gpu has)"
        )
        assert info.provider == CPU

    def test_cuda_falls_back_and_says_so(self, folder: Path) -> None:
        info = load(folder, "cuda")
        assert info.fallback is not None
        assert info.fallback.startswith("model m: cuda asked, runs on cpu because ")
        assert "\n" not in info.fallback

    @pytest.mark.parametrize("provider", ["cuda", "CUDAExecutionProvider", "auto", "coreml"])
    def test_require_makes_it_an_error(self, folder: Path, provider: str) -> None:
        with pytest.raises(ModelError) as caught:
            load(folder, provider, require=True)
        assert "is required and cannot be used" in str(caught.value)
        assert caught.value.where == "models.m"
        assert caught.value.expected == provider


def test_the_cpu_is_no_fallback_when_it_is_asked_for(folder: Path) -> None:
    for require in (False, True):
        info = load(folder, "cpu", require=require)
        assert (info.provider, info.fallback) == (CPU, None)


@pytest.mark.parametrize("provider", ["gpu", "", "azure", "AzureExecutionProvider"])
def test_an_unknown_provider_lists_the_known_ones(folder: Path, provider: str) -> None:
    with pytest.raises(ModelError) as caught:
        load(folder, provider)
    assert caught.value.where == "models.m.provider"
    assert "Usable here: auto, cpu" in str(caught.value)


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_provider_that_is_there_but_does_not_start_is_seen(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX Runtime then gives a session on the CPU, and says nothing that a program would see."""

    def available() -> list[str]:
        return [CUDA, CPU]

    monkeypatch.setattr(ort, "get_available_providers", available)
    monkeypatch.setattr(sessions, "device_is_there", lambda: True)
    monkeypatch.setattr(providers, "device_is_there", lambda: True)
    info = load(folder, "auto")
    if not HAS_CUDA:
        assert info.provider == CPU
        assert info.fallback is not None
        assert "cuda does not start: there is no NVIDIA driver" in info.fallback or "cuda failed" in info.fallback
        states = {state.name: state for state in provider_report().providers}
        assert not states[CUDA].usable, "it was built in, and still runs nothing"
        assert states[CUDA].reason


def test_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    report = provider_report()
    states = {state.name: state for state in report.providers}
    assert states[CPU].usable
    assert all(state.usable or state.reason for state in states.values())
    assert "AzureExecutionProvider" not in states
    assert report.versions["onnxruntime"] == ort.__version__
    assert report.auto in states
    assert report.cores >= 1


class TestPlugins:
    @pytest.fixture
    def package(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        """An installed plugin package; its library is not one."""
        module = types.ModuleType("onnxruntime_ep_toy")
        module.get_ep_name = lambda: "ToyExecutionProvider"  # type: ignore[attr-defined]
        module.get_library_path = lambda: __file__  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "onnxruntime_ep_toy", module)
        monkeypatch.setattr(providers, "_plugin_packages", lambda: {"onnxruntime-ep-toy"})
        return module

    def test_a_plugin_that_cannot_be_loaded_is_reported_and_not_used(self, package: Any, folder: Path) -> None:
        states = {state.name: state for state in provider_report().providers}
        assert not states["onnxruntime-ep-toy"].usable
        assert states["onnxruntime-ep-toy"].reason
        assert load(folder, "auto").provider == CPU

    def test_a_plugin_without_a_device_is_not_used(
        self, package: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ort, "register_execution_provider_library", lambda name, path: None)
        info = load(folder, "toy")
        assert info.fallback == "model m: toy asked, runs on cpu because onnxruntime-ep-toy finds no device"
        with pytest.raises(ModelError, match="finds no device"):
            load(folder, "toy", require=True)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError("libcublasLt.so.13: cannot open shared object file: No such file or directory")

    class Driver:
        def facts(self) -> None:
            """There is a device."""

    monkeypatch.setattr(providers, "cuda_driver", Driver)
    monkeypatch.setattr(providers.ctypes, "CDLL", missing)
    reason = providers.why_cuda_fails()
    assert reason is not None
    assert "the library libcublasLt.so.13 is missing" in reason
    assert 'pip install "turnwise[cuda]"' in reason
