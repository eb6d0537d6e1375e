"""Rights that the inference process gives up when its models are loaded.

A model folder is not trusted, and neither is what its graph does inside ONNX Runtime: so once everything is loaded, the
process can open no file, make no connection and start no program any more (`turnwise.confine`). What it may still want
of Python by then is imported before. Providers other than the CPU's work through device files and calls that differ
from one to the next, so there nothing is given up, and the report says so.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Final

from turnwise.confine import Measure, ProcessNeeds, give_up_calls, give_up_files
from turnwise.inference.onnx.provider_names import CPU

NEEDS: Final = ProcessNeeds(threads=True)
"""ONNX Runtime and numpy have threads, and memory of their own."""

_WANTED_LATER: Final = (
    *(f"encodings.{name}" for name in ("ascii", "latin_1", "raw_unicode_escape", "unicode_escape", "utf_16", "utf_8")),
    *("jinja2.debug", "linecache", "numpy.random", "traceback", "unicodedata"),
)
"""Modules that Python and the libraries import when they first need them."""


def give_up(providers: Iterable[str]) -> tuple[Measure, ...]:
    """Give up files, network and programs, for good, if the models run on these execution providers of the CPU."""
    others = sorted(set(providers) - {CPU})
    if others:
        detail = f"{', '.join(others)} works through device files, which cannot be told from others"
        return (Measure("confinement", False, detail),)
    for name in _WANTED_LATER:
        importlib.import_module(name)
    return (*give_up_files(), *give_up_calls(NEEDS))
