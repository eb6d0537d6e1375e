"""Installed distributions, found by the names of their folders.

`importlib.metadata` knows more, and takes 10 ms to be imported, and as long again to read what lies in every folder:
a tenth of what a worker process takes to start.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

_ENDINGS = (".dist-info", ".egg-info")
_SEPARATORS = re.compile(r"[-_.]+")


def normalised(name: str) -> str:
    """A distribution's name in the spelling by which names are compared: `Onnx_Runtime.EP` is `onnx-runtime-ep`."""
    return _SEPARATORS.sub("-", name).lower()


def version_of(name: str, places: Sequence[str] | None = None) -> str:
    """The version of an installed distribution, as `importlib.metadata.version` returns it.

    `places` are the folders to look in (default: `sys.path`). Raises importlib.metadata.PackageNotFoundError.
    """
    wanted = normalised(name)
    for found, version in _distributions(places):
        if found == wanted and version is not None:
            return version
    from importlib import metadata  # it lies in an archive, say, or its folder says no version

    return metadata.version(name)


def is_installed(name: str, places: Sequence[str] | None = None) -> bool:
    """True if a folder says that a distribution is installed; one in an archive is not seen."""
    wanted = normalised(name)
    return any(found == wanted for found, _ in _distributions(places))


def names_beginning(prefix: str, places: Sequence[str] | None = None) -> set[str]:
    """The names, as `normalised` spells them, of the installed distributions that begin like this."""
    return {name for name, _ in _distributions(places) if name.startswith(prefix)}


def _distributions(places: Sequence[str] | None) -> Iterator[tuple[str, str | None]]:
    """Names and versions by the folders that installers leave, those that Python would find first coming first."""
    for place in sys.path if places is None else places:
        try:
            entries = sorted([entry.name for entry in Path(place).iterdir()])
        except OSError:  # not there, or an archive
            continue
        for entry in entries:
            if entry.endswith(_ENDINGS):
                # An installer writes no hyphen into either part, so that the first one parts them.
                name, _, version = entry.rpartition(".")[0].partition("-")
                yield normalised(name), version if version and entry.endswith(".dist-info") else None
