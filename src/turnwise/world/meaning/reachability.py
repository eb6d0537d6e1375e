"""Kinds whose agents can never have a turn: nobody starts them, and nobody who moves may send to them."""

from __future__ import annotations

from collections.abc import Iterator

from turnwise.core.grants import is_pattern, pattern
from turnwise.errors import Problem
from turnwise.world.limits import COMPARISONS_MAX
from turnwise.world.meaning.resolve import Resolved


def unreachable(world: Resolved) -> list[Problem]:
    """Return a warning for each kind that can never move, unless mail comes from outside the run."""
    try:
        reached = _Reach(world).all()
    except _TooManyComparisons:
        return []
    present = {agent.kind for agent in world.agents}
    return [
        Problem(
            world.where("agents", kind.name),
            "never has a turn, unless mail comes from outside the run: it has no `start` and no message, and nobody "
            "who moves may send to it",
            "Write start = true, send it a message ([[messages]]), or grant others to send to it (grants.send).",
            is_warning=True,
        )
        for kind in world.kinds
        if kind.name in present and kind.name not in reached
    ]


class _TooManyComparisons(Exception):
    """Signal that finding out would take too long."""


class _Reach:
    def __init__(self, world: Resolved) -> None:
        self._world = world
        self._kinds = {kind.name: kind for kind in world.kinds}
        self._kind_of = {agent.name: agent.kind for agent in world.agents}
        self._members: dict[str, set[str]] = {}
        for kind in world.kinds:
            for group in kind.groups:
                self._members.setdefault(group, set()).add(kind.name)
        self._matched: dict[str, set[str]] = {}
        self._comparisons = 0

    def all(self) -> set[str]:
        """Kinds of which some agent may come to have a turn."""
        waiting = [kind.name for kind in self._world.kinds if kind.start]
        for message in self._world.messages:
            waiting += self._named(message.to)
        reached: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name in reached:
                continue
            reached.add(name)
            grants = self._kinds[name].grants
            waiting += grants.spawn  # what its name will be, and so who may send to it, is open
            for entry in grants.send:
                waiting += self._matching(entry) if is_pattern(entry) else self._named(entry)
        return reached

    def _named(self, name: str) -> Iterator[str]:
        if name in self._kind_of:
            yield self._kind_of[name]
        yield from self._members.get(name, ())

    def _matching(self, entry: str) -> set[str]:
        found = self._matched.get(entry)
        if found is None:
            self._comparisons += len(self._kind_of) + len(self._members)
            if self._comparisons > COMPARISONS_MAX:
                raise _TooManyComparisons
            matches = pattern(entry).fullmatch
            found = {kind for name, kind in self._kind_of.items() if matches(name)}
            for group, kinds in self._members.items():
                if matches(group):
                    found |= kinds
            self._matched[entry] = found
        return found
