from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.inference import toy
from turnwise.inference.decoding.graph_form import Rule
from turnwise.inference.decoding.numeric_class import observe_numeric_class
from turnwise.inference.decoding.self_test import (
    TRIAL,
    TRIAL_OF_LARGE,
    TRIAL_ON_DEVICE,
    SelfTest,
    Trial,
    cpu,
    known,
    self_test,
)
from turnwise.inference.engine.load import load_model
from turnwise.inference.folders.model_folder import read_model_folder
from turnwise.inference.onnx.sessions import open_session
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_spec import ModelSpec

FREE, EVEN, SINGLE, WHOLE = Rule("free", True), Rule("even", True), Rule("single", True), Rule("single", False)


@dataclass
class Fake:
    """A model whose logits are a sum over the tokens of a row, and a little more where a flaw has a part in it."""

    rule: Rule
    flaws: frozenset[str]
    other_threads: bool = False
    runs: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    prompt: list[int] = field(default_factory=list)

    def begin_rows(self, rows: int, room: int) -> int:
        self.rows = [0] * (1 if self.rule.batching == "single" else rows)
        return len(self.rows)

    def begin_again(self, tokens: int, room: int) -> int:
        self.begin_rows(1, room)
        self.rows[0] = sum(self.prompt[:tokens]) + ("warm" in self.flaws)
        return tokens

    def prefill(self, row: int, ids: Sequence[int], whole: int) -> NDArray[Any]:
        self.prompt = list(ids)
        if "refuses tokens" in self.flaws and max(ids) > 100:
            raise RuntimeError("out of bounds")
        past = self.rows[row]
        if past and "refuses pieces" in self.flaws:
            raise RuntimeError("only one new token")
        self.rows[row] += sum(ids)
        return self._logits(self.rows[row], "pieces" in self.flaws and past > 0)

    def decode(self, tokens: Sequence[int]) -> NDArray[Any]:
        if len(tokens) > 1 and "refuses batches" in self.flaws:
            raise RuntimeError("shapes")
        odd = len(tokens) == 1 or bool(len(tokens) % 2)
        found = []
        for row, token in enumerate(tokens):
            self.rows[row] += token
            last = row == len(tokens) - 1 and odd and self.rule.batching == "free"
            found.append(self._logits(self.rows[row], ("odd" in self.flaws and last) or self._mixed(tokens)))
        return np.stack(found)

    def _mixed(self, tokens: Sequence[int]) -> bool:
        return "batches" in self.flaws and len(tokens) > 2

    def _logits(self, value: int, wrong: bool) -> NDArray[Any]:
        wrong = wrong or ("threads" in self.flaws and self.other_threads)
        if "chance" in self.flaws:
            self.runs.append(0)
            value += len(self.runs)
        return np.array([value, value + 1e-9 * wrong])


def try_with(*flaws: str, first: Rule = FREE, context_length: int = 512, trial: Trial = TRIAL) -> SelfTest:
    def make(rule: Rule, other_threads: bool) -> Fake:
        return Fake(rule, frozenset(flaws), other_threads)

    return self_test(make, 1000, context_length, trial, first)


def test_a_rule_that_is_asked_for_is_kept(tmp_path: Path) -> None:
    def make(rule: Rule, other_threads: bool) -> Fake:
        return Fake(rule, frozenset(["odd"]), other_threads)

    kept = self_test(make, 1000, 512, TRIAL, FREE, stricter=False)
    assert (kept.numeric_class, kept.rule) == ("plan-bound", FREE)
    path = toy.write_mixing_folder(tmp_path / "model")
    found = []
    for spec in (ModelSpec("m", path, "cpu"), ModelSpec("m", path, "cpu", batching="free")):
        numeric = load_model(spec).info.numeric
        assert numeric is not None
        found.append((numeric.numeric_class, numeric.batching, numeric.chunked))
    assert found == [("batch-invariant", "single", False), ("plan-bound", "free", True)]


@pytest.mark.parametrize(
    ("flaws", "found", "rule"),
    [
        ([], "batch-invariant", FREE),
        (["odd"], "batch-invariant", EVEN),
        (["batches"], "batch-invariant", SINGLE),
        (["odd", "batches"], "batch-invariant", SINGLE),
        (["refuses batches"], "batch-invariant", SINGLE),
        (["pieces"], "batch-invariant", WHOLE),
        (["refuses pieces"], "batch-invariant", WHOLE),
        (["threads"], "plan-bound", WHOLE),
        (["chance"], "none", FREE),
        (["refuses tokens"], "none", WHOLE),
    ],
)
@pytest.mark.parametrize("trial", [TRIAL, TRIAL_OF_LARGE, TRIAL_ON_DEVICE])
def test_the_first_rule_that_holds_is_taken(flaws: list[str], found: str, rule: Rule, trial: Trial) -> None:
    observed = try_with(*flaws, trial=trial)
    assert (observed.numeric_class, observed.rule) == (found, rule)


def test_on_a_device_the_prefix_cache_is_tried_too() -> None:
    assert try_with(trial=TRIAL_ON_DEVICE).checks["cold = warm"]
    assert try_with("warm").numeric_class == "batch-invariant", "on the host it is known to hold"
    observed = try_with("warm", trial=TRIAL_ON_DEVICE)
    assert (observed.numeric_class, observed.rule) == ("batch-invariant", WHOLE), "in one piece, none is reused"


def test_rules_that_are_known_not_to_hold_are_not_tried() -> None:
    assert try_with(first=EVEN).rule == EVEN
    assert try_with(first=WHOLE).checks.keys() == {"run = run", "1 = 2 threads"}


def test_a_short_context_is_not_exceeded() -> None:
    assert try_with(context_length=8).numeric_class == "batch-invariant"


def test_what_was_observed_is_remembered(tmp_path: Path) -> None:
    calls: list[int] = []

    def test() -> SelfTest:
        calls.append(1)
        return try_with("odd")

    first = known({"model": "a", "threads": 1}, test, cache=tmp_path)
    assert known({"threads": 1, "model": "a"}, test, cache=tmp_path) == first
    assert len(calls) == 1
    known({"model": "a", "threads": 2}, test, cache=tmp_path)
    assert len(calls) == 2
    (tmp_path / "self-tests.json").write_text('{"x": {"numeric_class": "perfect"}}')
    assert known({"model": "a", "threads": 1}, test, cache=tmp_path) == first
    assert len(calls) == 3
    (tmp_path / "self-tests.json").write_bytes(b'{"format":1,"entries":{"a":"\xff"}}')
    assert known({"model": "a", "threads": 1}, test, cache=tmp_path) == first
    assert len(calls) == 4


def test_without_a_place_to_remember_all_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = known({}, lambda: try_with(), cache=tmp_path / "file")
    assert found.numeric_class == "batch-invariant"


def test_the_processor_has_a_name() -> None:
    assert cpu()["machine"]


def test_a_loaded_model_says_what_was_observed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TURNWISE_CACHE", str(tmp_path / "cache"))
    folder = toy.write_attention_folder(tmp_path / "model")
    fresh = load_model(ModelSpec("m", folder, "cpu")).info.numeric
    assert fresh is not None
    assert (fresh.numeric_class, fresh.batching, fresh.chunked) == ("batch-invariant", "free", True)
    assert set(fresh.checks) == {"run = run", "alone = in a batch", "whole = in pieces", "1 = 2 threads"}
    assert (tmp_path / "cache" / "self-tests.json").is_file()
    assert load_model(ModelSpec("m", folder, "cpu")).info.numeric == fresh


def test_what_a_small_cache_can_hold_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TURNWISE_CACHE", str(tmp_path / "cache"))
    folder = toy.write_attention_folder(tmp_path / "model", context_length=8)
    numeric = load_model(ModelSpec("m", folder, "cpu")).info.numeric
    assert numeric is not None
    assert numeric.numeric_class == "batch-invariant"


@pytest.mark.parametrize(
    ("layout", "batching", "chunked"),
    [
        ("genai-fp32", "free", True),
        ("genai-int4", "free", True),
        ("genai-int4-acc1", "even", True),
        ("genai-mha-fp32", "equal", False),
        ("hf-fp32", "equal", True),
    ],
)
def test_every_known_form_is_batch_invariant(
    in_layout: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    layout: str,
    batching: str,
    chunked: bool,
) -> None:
    monkeypatch.setenv("TURNWISE_CACHE", str(tmp_path))
    numeric = load_model(ModelSpec("m", in_layout(layout), "cpu")).info.numeric
    assert numeric is not None
    assert (numeric.numeric_class, numeric.batching, numeric.chunked) == ("batch-invariant", batching, chunked)


def test_a_rule_that_does_not_hold_is_noticed(
    in_layout: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below accuracy level 4 one row is multiplied by other arithmetic, whatever the table says."""
    monkeypatch.setenv("TURNWISE_CACHE", str(tmp_path))
    monkeypatch.setattr("turnwise.inference.decoding.graph_form.batching_of", lambda graph, growing: "free")
    spec = ModelSpec("m", in_layout("genai-int4-acc1"), "cpu")
    folder = read_model_folder(spec.path)
    opened = open_session(spec, folder.layout.graph_path, folder.weights_bytes, EngineOptions())
    observed = observe_numeric_class(spec, folder, opened, "digest")
    assert (observed.numeric_class, observed.rule) == ("batch-invariant", EVEN)
