"""The interpreter component: what componentize-py turns into WebAssembly.

This module is imported once, when the component is built; then the memory is stored, and every turn begins from it. So
all that can be done beforehand is done here: importing, filling caches, and leaving nothing of the build behind.
"""

from __future__ import annotations

import gc
import importlib
import json
import random
import sys
from pathlib import Path

import wit_world  # type: ignore[import-not-found]  # made by componentize-py

from turnwise_guest import __version__
from turnwise_guest.runtime import execute, loader, modules

for _name in (*modules.ADVERTISED, *modules.BROUGHT):
    importlib.import_module(_name)

_seed = random.seed


def _no_seed(*_: object) -> None:
    """Stands in for `random.seed` until a turn begins: componentize-py calls it with fresh entropy, in vain."""


class WitWorld:
    """The exports of the world `turnwise:agent`. componentize-py finds the class by its name."""

    def turn(self, input: str) -> str:  # noqa: A002 - the name in the WIT world
        random.seed = _seed
        return execute.execute(input, wit_world.effect)


def _tell() -> None:
    """Tell the build what has been built: componentize-py lets this module write beside itself while it builds."""
    facts = {"cpython": sys.version.split()[0], "modules": modules.ADVERTISED, "sdk": __version__}
    Path(__file__).with_suffix(".json").write_text(json.dumps(facts), encoding="utf-8")


def _settle() -> None:
    """Make what every turn begins with."""
    random.seed = _no_seed  # type: ignore[assignment]
    sys.path.clear()
    sys.path_hooks.clear()
    sys.path_importer_cache.clear()
    # Modules that are part of the interpreter itself stay importable; there are no files to look for others in.
    sys.meta_path[2:] = [loader.NothingElse()]
    gc.collect()
    gc.freeze()


_tell()
_settle()
