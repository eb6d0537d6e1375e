"""The interpreter module: what componentize-py turns into WebAssembly.

This module is imported once, when the component is built; then the memory is stored, and every turn begins from it. So
all that can be done beforehand is done here. The SDK is imported before everything else: what is used together then
lies close together in memory.
"""

from __future__ import annotations

import encodings
import importlib
import json
import random
import sys
from pathlib import Path

import turnwise_snapshot
from turnwise_guest import __version__
from turnwise_guest.runtime import execute, modules, run_python  # noqa: F401 - the last is there to be imported

import wit_world  # type: ignore[import-not-found]  # made by componentize-py  # isort: skip

_seed = random.seed


class WitWorld:
    """The exports of the world `turnwise:agent`. componentize-py finds the class by its name."""

    def turn(self, input: str) -> str:  # noqa: A002 - the name in the WIT world
        random.seed = _seed
        return execute.execute(input, wit_world.effect, wit_world.effect_bytes)


def _no_seed(*_: object) -> None:
    """Stands in for `random.seed` until a turn begins.

    componentize-py seeds the module with 2,500 bytes of entropy before each call, which a turn replaces at once, and
    which hosts may convert byte by byte: that took longer than the turn.
    """


def _build() -> None:
    codecs = modules.encodings_of(file.name for file in Path(encodings.__path__[0]).iterdir())
    for name in (*modules.ADVERTISED, *modules.BROUGHT, *codecs):
        importlib.import_module(name)
    turnwise_snapshot.buffer_output()
    turnwise_snapshot.warm_up()
    # componentize-py lets this module write beside itself: that is how the build learns what it has built.
    facts = {"cpython": sys.version.split()[0], "modules": modules.ADVERTISED, "sdk": __version__}
    Path(__file__).with_suffix(".json").write_text(json.dumps(facts), encoding="utf-8")
    turnwise_snapshot.forget_files()
    random.seed = _no_seed  # type: ignore[assignment]
    Path(__file__).with_suffix(".objects").write_bytes(turnwise_snapshot.list_objects())
    turnwise_snapshot.settle()


_build()
