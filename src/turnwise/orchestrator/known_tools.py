"""Tools that are known without starting a server, and grants that name others."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence

from turnwise.core.grants import is_pattern, pattern
from turnwise.errors import Problem
from turnwise.world import Resolved
from turnwise.world.problems import nearest, quoted

NAMES_SHOWN_MAX = 20


def known_tools(world: Resolved) -> dict[str, tuple[str, ...]]:
    """Return the names of the tools of each server whose kind can say them by its settings, in order."""
    found: dict[str, tuple[str, ...]] = {}
    for tool in world.tools:
        kind = importlib.import_module(f"turnwise.tools.kinds.{tool.kind}")
        names = getattr(kind, "names", None)
        if names is None or any(kind.check(tool.settings)):
            continue
        known = names(tool.settings, tool.folder)
        if known is not None:
            found[tool.name] = tuple(sorted(f"{tool.name}.{name}" for name in known))
    return found


def unknown_grants(world: Resolved, known: Mapping[str, Sequence[str]]) -> list[Problem]:
    """Return a warning for each grant of a tool that its server does not have."""
    found = []
    for kind in world.kinds:
        for entry in (*kind.grants.call, *kind.grants.approve):
            server, dot, _ = entry.partition(".")
            names = known.get(server)
            if not dot or names is None:
                continue
            if is_pattern(entry):
                if any(pattern(entry).fullmatch(name) for name in names):
                    continue
                message, name = f"{quoted(server)} has no tool that matches {quoted(entry)}", ""
            elif entry in names:
                continue
            else:
                message, name = f"{quoted(server)} has no tool {quoted(entry)}", entry
            where = world.where("agents", kind.name, "grants", "call")
            found.append(Problem(where, message, name_hint(name, names), is_warning=True))
    return found


def name_hint(name: str, known: Sequence[str]) -> str:
    """Return what was probably meant, by the last part of the name, or what there is."""
    parts = {one.rpartition(".")[2]: one for one in known}
    close = nearest(name.rpartition(".")[2], parts) if name else None
    if close is not None:
        return f"Did you mean {quoted(parts[close])}?"
    if not known:
        return "There is none in this world."
    more = f", and {len(known) - NAMES_SHOWN_MAX:,} more" if len(known) > NAMES_SHOWN_MAX else ""
    return f"There are: {', '.join(known[:NAMES_SHOWN_MAX])}{more}."
