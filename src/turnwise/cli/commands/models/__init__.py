"""`turnwise models`: what is here, what it is, how fast it is, and how to get more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from turnwise.cli.commands.models.bench import bench
from turnwise.cli.commands.models.check import check
from turnwise.cli.commands.models.list import list_
from turnwise.cli.commands.models.pull import pull

MODELS: Final[Mapping[str, Callable[..., int]]] = {"pull": pull, "list": list_, "check": check, "bench": bench}
"""The commands below `turnwise models`, by name."""
