"""JavaScript agents that compile and cannot move, since they export no `turn`.

The sources are read, not run, and by their words only: what a text leaves open is not reported.
"""

from __future__ import annotations

import re
from typing import Final

from turnwise.errors import Problem
from turnwise.world import Resolved

_EXPORTS_TURN: Final = re.compile(r"\bexport\b[^;]*?(?:\bturn\b|\bdefault\b|\*)")
"""`export function turn`, `export { x as turn }`, `export default`, `export * from`, and whatever may be one."""


def javascript_problems(world: Resolved) -> list[Problem]:
    """Problems of all JavaScript agents of a world."""
    found = []
    for kind, source in world.sources.items():
        if source.language == "javascript" and not _EXPORTS_TURN.search(dict(source.files)[source.entry].decode()):
            found.append(
                Problem(
                    f"{world.where('agents', kind, 'source')}: {source.entry}",
                    "it exports no function turn",
                    "Write `export function turn(t) { … }`: it is called once for each turn of the agent.",
                )
            )
    return found
