"""The engine: every setting is one that the pinned version knows, and all of them are part of the key."""

from __future__ import annotations

import subprocess
import sys

import pytest
import wasmtime

from turnwise.sandbox.execute import engine
from turnwise.sandbox.execute.engine import SETTINGS, engine_key, make_engine


def test_settings_exist_and_are_named_once() -> None:
    names = [name for name, _ in SETTINGS]
    assert names == sorted({*names})
    assert all(isinstance(getattr(wasmtime.Config, name), property) for name in names)
    assert dict(SETTINGS)["consume_fuel"] is True
    assert dict(SETTINGS)["cranelift_nan_canonicalization"] is True


def test_the_key_is_the_same_in_another_process() -> None:
    program = "from turnwise.sandbox.execute.engine import engine_key; print(engine_key())"
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}; {program}"]
    assert subprocess.check_output(command, text=True).strip() == engine_key()


def test_the_key_follows_settings_version_and_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {engine_key()}
    changes = {
        "SETTINGS": SETTINGS[:-1],
        "wasmtime_version": lambda: "1.2.3",
        "_cpu_features": lambda: "one less",
    }
    for name, value in changes.items():
        with monkeypatch.context() as change:
            change.setattr(engine, name, value)
            keys.add(engine_key.__wrapped__())
    assert len(keys) == 4


def test_engines_understand_each_others_code() -> None:
    module = wasmtime.Module(make_engine(), "(module)")
    assert wasmtime.Module.deserialize(make_engine(), bytes(module.serialize()))
    with pytest.raises(wasmtime.WasmtimeError):
        wasmtime.Module.deserialize(wasmtime.Engine(), bytes(module.serialize()))
