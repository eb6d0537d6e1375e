"""Grants, the acts that an agent may do: deny by default, and a child at most what its parent may.

An agent is bound by one or more layers of grants, its own kind's and those of all its ancestors; an act is allowed if
every layer allows it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from functools import lru_cache

from turnwise.core.plan import KindGrants


def is_pattern(entry: str) -> bool:
    """Return True if a grant's entry is a pattern (`narrator-*`) rather than a name."""
    return any(mark in entry for mark in "*?")


@lru_cache(maxsize=1024)
def pattern(entry: str) -> re.Pattern[str]:
    """The expression whose `fullmatch` says whether a pattern covers a name.

    `*` stands for any characters, `?` for one; nothing else is special. What follows a `*` is taken where it is found
    first and never elsewhere (an atomic group). For such patterns that misses nothing, and since no name makes the
    search go back, it takes at most pattern times name steps, whoever chose them.
    """
    first, *rest = [re.escape(part).replace(r"\?", ".") for part in entry.split("*")]
    if not rest:
        return re.compile(first)
    *middle, last = rest
    return re.compile(first + "".join([f"(?>.*?{part})" for part in middle if part]) + ".*" + last)


def reaches(entries: Iterable[str], name: str, groups: Collection[str]) -> bool:
    """Return True if a list of names, patterns and groups covers an agent or group called `name`.

    `groups` are those that the agent belongs to (empty for a group, or for nobody).
    """
    return any(
        entry == name or entry in groups or (is_pattern(entry) and pattern(entry).fullmatch(name) is not None)
        for entry in entries
    )


def may_send(layers: Iterable[KindGrants], to: str, groups: Collection[str]) -> bool:
    return all(reaches(layer.send, to, groups) for layer in layers)


def may_stop(layers: Iterable[KindGrants], name: str, groups: Collection[str]) -> bool:
    return all(reaches(layer.stop, name, groups) for layer in layers)


def may_spawn(layers: Iterable[KindGrants], kind: str) -> bool:
    return all(kind in layer.spawn for layer in layers)


def may_finish(layers: Iterable[KindGrants]) -> bool:
    return all(layer.finish for layer in layers)


def may_run_python(layers: Iterable[KindGrants]) -> bool:
    return all(layer.run_python for layer in layers)


def may_ask_people(layers: Iterable[KindGrants]) -> bool:
    return all(layer.ask for layer in layers)


def may_call(layers: Iterable[KindGrants], server: str, tool: str) -> bool:
    """Return whether a tool may be called; `tool` is its whole name, and the name of its server covers it."""
    return all(_calls((*layer.call, *layer.approve), server, tool) for layer in layers)


def needs_approval(layers: Iterable[KindGrants], server: str, tool: str) -> bool:
    """Return whether a person is asked before a tool is called: any layer may want that."""
    return any(_calls(layer.approve, server, tool) for layer in layers)


def _calls(entries: Iterable[str], server: str, tool: str) -> bool:
    return any(
        entry in (server, tool) or (is_pattern(entry) and pattern(entry).fullmatch(tool) is not None)
        for entry in entries
    )


def may_ask(layers: Iterable[KindGrants], effect: str, model: str) -> bool:
    """Return whether a model may be asked for an effect: `generate`, `infer` or `embed`."""
    return all(model in _models(layer, effect) for layer in layers)


def _models(layer: KindGrants, effect: str) -> tuple[str, ...]:
    if effect == "generate":
        return layer.generate
    return layer.infer if effect == "infer" else layer.embed if effect == "embed" else ()
