"""A provider is trusted after it has agreed with the CPU. The fake device has the CPU's kernels, and some flaws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.inference import toy
from tests.inference.fake_device import FakeBinding, FakeDevice, FakeSession, open_on_device
from turnwise.errors import ModelError
from turnwise.inference.decoding import numeric_class
from turnwise.inference.decoding.agreement import difference
from turnwise.inference.decoding.decoder import Decoder
from turnwise.inference.engine.load import load_model
from turnwise.inference.folders.model_folder import read_model_folder
from turnwise.inference.onnx import sessions
from turnwise.inference.onnx.provider_names import CPU, CUDA
from turnwise.inference.onnx.sessions import Opened, Sessions
from turnwise.inference.plans.model_spec import ModelSpec

Flaw = Callable[[FakeSession], None]


def none(session: FakeSession) -> None:
    """A device that is right."""


def nonsense(session: FakeSession) -> None:
    session.spoil = lambda binding: np.copyto(binding.logits, binding.logits[::-1].copy())


def no_numbers(session: FakeSession) -> None:
    session.spoil = lambda binding: binding.logits.fill(np.nan)


def long_prompts(session: FakeSession) -> None:
    """As a software driver computes: right, but for prompts over 32 tokens."""

    def spoil(binding: FakeBinding) -> None:
        if binding.new_tokens > 32:
            binding.logits[::7] += 4 * binding.logits.std()

    session.spoil = spoil


def steps(session: FakeSession) -> None:
    def spoil(binding: FakeBinding) -> None:
        if binding.new_tokens == 1:
            binding.logits[::7] += 4 * binding.logits.std()

    session.spoil = spoil


def refuses(session: FakeSession) -> None:
    session.refuses = RuntimeError("CUDA failure 700: an illegal memory access was encountered")


@pytest.fixture
def device() -> FakeDevice:
    return FakeDevice()


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: FakeDevice) -> Callable[..., Any]:
    """Load a model on a machine that has a device with some flaw; info, and how often it was compared."""
    monkeypatch.setenv("TURNWISE_CACHE", str(tmp_path / "cache"))
    folder = toy.write_attention_folder(tmp_path / "model")
    compared: list[int] = []
    original = Sessions._open

    def loaded(flaw: Flaw, **spec: Any) -> Any:
        def opened(self: Sessions, name: str) -> Opened | str:
            if name != CUDA:
                return original(self, name)
            there = open_on_device(self._spec, self._graph, 1000, "logits", device, records=self._may_record(name))
            flaw(there.session)
            return replace(there, unrecorded=self._unrecorded)

        def counted(*arguments: Any) -> str | None:
            compared.append(1)
            return difference(*arguments)

        monkeypatch.setattr(Sessions, "_open", opened)
        monkeypatch.setattr(sessions, "_wanted", lambda spec, there: [CPU] if spec.provider == "cpu" else [CUDA, CPU])
        monkeypatch.setattr(numeric_class, "difference", counted)
        return load_model(ModelSpec("m", folder, **spec)).info, len(compared)

    return loaded


def test_a_device_that_agrees_runs_the_model(load: Callable[..., Any]) -> None:
    info, _ = load(none)
    assert (info.provider, info.fallback) == (CUDA, None)
    assert info.versions["device multiprocessors"] == "4"
    assert info.numeric.numeric_class == "batch-invariant"
    assert {"cold = warm", "alone = in a batch", "whole = in pieces"} <= info.numeric.checks.keys()


def test_a_device_that_records_nothing_right_runs_steps_by_their_kernels(load: Callable[..., Any]) -> None:
    def other_bits(session: FakeSession) -> None:
        session.spoil_replay = lambda binding: binding.logits.__iadd__(1)

    assert load(none)[0].recording == "yes"
    info, _ = load(other_bits)
    assert (info.provider, info.fallback) == (CUDA, None)
    assert info.recording == "no: a recorded run has other bits than its kernels"
    assert info == load(none)[0], "the bits are the same"


@pytest.mark.parametrize(
    ("flaw", "seen"),
    [
        (nonsense, "answers otherwise than the cpu: after a prompt of 70 tokens, logits differ by "),
        (no_numbers, "fails: the graph gives logits that are not numbers"),
        (long_prompts, "answers otherwise than the cpu: after a prompt of 70 tokens"),
        (steps, "answers otherwise than the cpu: in step 1"),
        (refuses, "fails: the graph fails on its first tokens: CUDA failure 700"),
    ],
)
def test_a_device_with_a_flaw_is_not_used(load: Callable[..., Any], flaw: Flaw, seen: str) -> None:
    info, _ = load(flaw)
    assert info.provider == CPU
    assert info.fallback.startswith(f"model m: cuda asked by auto, runs on cpu because cuda {seen}")
    assert "\n" not in info.fallback
    with pytest.raises(ModelError, match="is required and cannot be used") as caught:
        load(flaw, provider="cuda", require=True)
    assert seen in str(caught.value)


def test_a_device_without_memory_is_not_used(load: Callable[..., Any], device: FakeDevice) -> None:
    device._memory_bytes = 1 << 12
    info, _ = load(none)
    assert info.provider == CPU
    assert "cuda fails: the device has no memory left" in info.fallback


def test_agreement_is_remembered(load: Callable[..., Any]) -> None:
    assert [load(none)[1], load(none)[1]] == [1, 1]
    assert load(none)[0].provider == CUDA


def test_a_flaw_is_looked_for_again(load: Callable[..., Any]) -> None:
    """A driver may be mended without any of the names under which something is remembered."""
    assert load(steps)[0].provider == CPU
    assert load(none)[0].provider == CUDA


def test_another_model_does_not_agree(tmp_path: Path) -> None:
    """The control of the comparison itself: other weights are seen, the same ones are not."""
    found = []
    for seed in (0, 1):
        folder = read_model_folder(
            toy.write_folder(
                tmp_path / str(seed), toy.attention_graph(seed), configuration=toy.config(16, 2, context_length=512)
            )
        )
        opened = sessions.open_session(
            ModelSpec("m", folder.path, "cpu"),
            folder.layout.graph_path,
            1000,
            sessions.EngineOptions(),
            logits="logits",
        )
        found.append(Decoder(folder, opened))
    assert difference(found[0], found[0], toy.VOCABULARY, 0.001) is None
    assert "logits differ by" in (difference(found[1], found[0], toy.VOCABULARY, 0.01) or "")
