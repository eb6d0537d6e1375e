from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.inference import toy
from turnwise.inference.folders.model_folder import read_model_folder
from turnwise.inference.onnx.provider_names import CPU, CUDA
from turnwise.inference.onnx.providers import Plugin
from turnwise.inference.onnx.runtime import ort
from turnwise.inference.onnx.sessions import Sessions
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_spec import ModelSpec

REFUSAL = "This session cannot use the graph capture feature as requested by the user as all compute graph nodes ..."


@pytest.fixture
def sessions(tmp_path: Path) -> Any:
    def make(**options: Any) -> Sessions:
        folder = read_model_folder(toy.write_attention_folder(tmp_path))
        spec = ModelSpec("m", tmp_path, "cpu")
        logits = folder.layout.names.logits
        return Sessions(spec, folder.layout.graph_path, 1000, EngineOptions(**options), logits=logits)

    return make


def asked(monkeypatch: pytest.MonkeyPatch, refusal: str | None) -> list[bool]:
    """Whether each session was to record; those that are, fail."""
    found: list[bool] = []

    def make(self: Sessions, name: str) -> str:
        found.append(self._may_record(name))
        if found[-1] and refusal:
            raise RuntimeError(refusal)
        return "a session"

    monkeypatch.setattr(Sessions, "_make", make)
    return found


def test_a_graph_that_cannot_be_recorded_is_run_without(monkeypatch: pytest.MonkeyPatch, sessions: Any) -> None:
    found = asked(monkeypatch, REFUSAL)
    given = sessions()
    assert given._session(CUDA) == "a session"
    assert found == [True, False]
    assert given._unrecorded == "part of the graph runs on the cpu, or it branches"


def test_another_failure_is_no_matter_of_recording(monkeypatch: pytest.MonkeyPatch, sessions: Any) -> None:
    asked(monkeypatch, "CUDA failure 2: out of memory")
    with pytest.raises(RuntimeError, match="out of memory"):
        sessions()._session(CUDA)


def test_recording_is_for_language_models_on_cuda_and_can_be_left_out(
    monkeypatch: pytest.MonkeyPatch, sessions: Any
) -> None:
    found = asked(monkeypatch, None)
    sessions()._session(CPU)
    sessions(records=False)._session(CUDA)
    sessions()._session(CUDA)
    assert found == [False, False, True]


def test_what_libraries_say_of_a_device_is_not_heard(
    monkeypatch: pytest.MonkeyPatch, sessions: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    """A plugin that finds no driver says so for itself, and ONNX Runtime retries on the CPU with a banner."""
    asked: list[dict[str, Any]] = []

    def make(*_: Any, **options: Any) -> Any:
        asked.append(options)
        os.write(2, b"Warning: vkCreateInstance: Found no drivers!\n")
        raise RuntimeError("Failed to get a WebGPU adapter: No supported adapters")

    given = sessions()
    monkeypatch.setattr(ort, "InferenceSession", make)
    with pytest.raises(RuntimeError, match="No supported adapters"):
        given._make(CUDA)
    monkeypatch.setattr(given._installed, "plugins", [Plugin("GpuExecutionProvider", "onnxruntime-ep-x", ())])
    monkeypatch.setattr(ort.SessionOptions, "add_provider_for_devices", lambda *_: None)
    with pytest.raises(RuntimeError, match="No supported adapters"):
        given._make("GpuExecutionProvider")
    assert [options["enable_fallback"] for options in asked] == [0, 0]
    assert capfd.readouterr().err == ""
