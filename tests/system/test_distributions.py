"""Distributions are found by their folders' names, as `importlib.metadata` finds them by what lies in them."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from turnwise.system.distributions import is_installed, names_beginning, normalised, version_of


def test_every_installed_distribution_has_the_version_that_its_metadata_says() -> None:
    compared = 0
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        if name:
            assert version_of(name) == importlib.metadata.version(name)
            compared += 1
    assert compared > 10


def test_those_that_begin_alike_are_found_whatever_their_spelling(tmp_path: Path) -> None:
    for folder in (
        "onnxruntime_ep_toy-1.0.dist-info",
        "Onnxruntime.EP_Other-1.0-py3.11.egg-info",
        "onnxruntime-1.0.dist-info",
        "another",
    ):
        (tmp_path / folder).mkdir()
    places = [str(tmp_path / "missing"), str(tmp_path)]
    assert names_beginning("onnxruntime-ep-", places) == {"onnxruntime-ep-toy", "onnxruntime-ep-other"}
    assert normalised("Onnxruntime.EP-Other") == "onnxruntime-ep-other"
    assert version_of("onnxruntime.ep-toy", places) == "1.0"
    assert is_installed("Onnxruntime", places)
    assert not is_installed("onnxruntime-ep", places)


def test_the_first_place_counts_and_what_is_nowhere_is_said(tmp_path: Path) -> None:
    for place, version in (("a", "1.0"), ("b", "2.0")):
        (tmp_path / place / f"turnwise_toy-{version}.dist-info").mkdir(parents=True)
    assert version_of("turnwise-toy", [str(tmp_path / "b"), str(tmp_path / "a")]) == "2.0"
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        version_of("turnwise-toy", [])


def test_a_worker_does_not_load_what_reads_metadata() -> None:
    program = "import sys, turnwise.sandbox.pool.worker as worker\n"
    program += "from turnwise.sandbox.execute.c_library import is_as_described\n"
    program += "assert is_as_described()\nprint(*sorted({'importlib.metadata', 'email'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
