"""Paths as people give them."""

from __future__ import annotations

import os

StrPath = str | os.PathLike[str]
"""A path, as text or as an object that has one."""
