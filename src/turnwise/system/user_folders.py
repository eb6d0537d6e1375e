"""The user's folders, as each platform has them: one for what can be computed again, one for data."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """The folder for what can be computed again: `TURNWISE_CACHE`, else the user's caches by the platform's custom."""
    return _chosen("TURNWISE_CACHE") or _base("XDG_CACHE_HOME", (".cache",), ("Library", "Caches"), "cache")


def models_folder() -> Path:
    """The folder for models that were downloaded: `TURNWISE_MODELS`, else the user's data by the platform's custom."""
    data = _base("XDG_DATA_HOME", (".local", "share"), ("Library", "Application Support"), "")
    return _chosen("TURNWISE_MODELS") or data / "models"


def _chosen(variable: str) -> Path | None:
    text = os.environ.get(variable)
    return Path(text).expanduser().absolute() if text else None


def _base(xdg: str, default: tuple[str, ...], mac: tuple[str, ...], windows: str) -> Path:
    """Return the folder of Turnwise: on Linux by the XDG specification, which has relative paths ignored."""
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "turnwise" / windows
    if sys.platform == "darwin":
        return home.joinpath(*mac) / "turnwise"
    stated = os.environ.get(xdg, "")
    return (Path(stated) if stated.startswith("/") else home.joinpath(*default)) / "turnwise"
