"""Places in which ancestors of forks are looked for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from turnwise.system.paths import StrPath


def places(parents: Sequence[StrPath]) -> list[Path]:
    """Paths of the places in which ancestors are looked for; one path alone is one place."""
    return [Path(place) for place in ([parents] if isinstance(parents, (str, os.PathLike)) else parents)]
