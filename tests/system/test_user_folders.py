from __future__ import annotations

import sys
from pathlib import Path

import pytest

from turnwise.system.user_folders import cache_folder, models_folder


def test_a_folder_that_is_named_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TURNWISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TURNWISE_MODELS", "~/models")
    assert cache_folder() == tmp_path / "cache"
    assert models_folder() == Path.home() / "models"


@pytest.mark.skipif(sys.platform != "linux", reason="the XDG specification is for Linux")
def test_the_platform_has_its_own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TURNWISE_CACHE", "TURNWISE_MODELS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "c"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "d"))
    assert cache_folder() == tmp_path / "c" / "turnwise"
    assert models_folder() == tmp_path / "d" / "turnwise" / "models"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert cache_folder() == Path.home() / ".cache" / "turnwise"
    assert models_folder() == Path.home() / ".local" / "share" / "turnwise" / "models"
