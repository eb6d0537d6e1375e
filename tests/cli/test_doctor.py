"""`turnwise doctor`: everything that is known, whatever is broken."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from turnwise._version import __version__
from turnwise.cli import facts
from turnwise.errors import EnvironmentFailure
from turnwise.inference.onnx.providers import ProviderReport, ProviderState

NAMES = (
    "versions",
    "interpreter of Python agents",
    "interpreter of JavaScript agents",
    "inference",
    "transport",
    "hardening of sandbox workers",
    "hardening of inference (CPU)",
    "caches",
    "limits",
)


def test_every_section_for_people(command: Command) -> None:
    ended = command("doctor")
    assert ended.code == 0, ended.out
    assert ended.err == ""
    lines = ended.out.split("\n")
    for name in NAMES:
        assert name in lines
    assert f"  turnwise                  {__version__}" in lines
    assert any(line.startswith("  cpu ") for line in lines)
    assert any(line.startswith(("  seccomp ", "  no_new_privileges ")) for line in lines)


def test_the_same_for_programs(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TURNWISE_CACHE", str(tmp_path / "cache"))
    ended = command("doctor", "--json")
    value = json.loads(ended.out)
    assert tuple(value) == NAMES
    found = {(name, fact["name"]): fact["value"] for name in NAMES for fact in value[name]["facts"]}
    assert found["versions", "turnwise"] == __version__
    assert found["transport", "auto"] in ("memfd", "portable")
    assert found["caches", "folder"] == str(tmp_path / "cache")
    assert 1 <= found["limits", "cores"] <= (os.cpu_count() or 1)
    assert {"auto", "cpu"} <= {fact["name"] for fact in value["inference"]["facts"]}
    reasons = {fact["name"]: fact["note"] for fact in value["inference"]["facts"] if not fact["good"]}
    assert all(reasons.values())


def test_on_a_machine_with_a_device_its_confinement_is_told(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    states = (ProviderState("CUDAExecutionProvider", True, None, ("a card",)),)
    report = ProviderReport({}, states, "CUDAExecutionProvider", 2)
    monkeypatch.setattr(facts, "_provider_report", lambda: report)
    value = json.loads(command("doctor", "--json").out)
    device = {fact["name"]: fact for fact in value["hardening of inference (devices)"]["facts"]}
    if device["seccomp"]["good"]:
        assert "since a driver may want any other" in device["seccomp"]["note"]


def test_a_section_that_fails_says_why_and_the_others_are_there(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ours() -> list[facts.Fact]:
        raise EnvironmentFailure("it is missing", hint="Install it.")

    def foreign() -> list[facts.Fact]:
        raise ImportError("libfoo.so\x1b[2J: cannot open")

    monkeypatch.setattr(facts, "SECTIONS", {"one": ours, "two": foreign, "versions": facts.versions})
    ended = command("doctor")
    assert ended.code == 1
    assert "one\n  failed: it is missing\n            Install it.\n" in ended.out
    assert "two\n  failed: ImportError: libfoo.so\\e[2J: cannot open\n" in ended.out
    assert f"  turnwise                  {__version__}\n" in ended.out
    as_json = command("doctor", "--json")
    assert as_json.code == 1
    assert "libfoo" in json.loads(as_json.out)["two"]["error"]
