"""Check of references: every name that a world mentions is one that it has (models, kinds, agents, groups)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

from turnwise.core import plan as core
from turnwise.core.grants import is_pattern, pattern
from turnwise.core.plan import OUTSIDE, InitialMessage
from turnwise.world.limits import COMPARISONS_MAX, GRANTED_MAX
from turnwise.world.meaning.agents import InitialAgents
from turnwise.world.names import NAME_HINT, RESERVED_HINT, fault, matcher
from turnwise.world.problems import KeyPath, Problems, listed, nearest, quoted
from turnwise.world.written.types import CallGrant, Description, Grants

_BLOCK = 1_000
"""Names that a pattern is compared with before the comparisons are counted."""


class Names:
    """All names of a world. Reports those that are used twice or not known.

    If any kind may be spawned, agent names are open-ended: unknown names in grants are not reported then.
    """

    def __init__(self, world: Description, initial: InitialAgents, problems: Problems) -> None:
        self._problems = problems
        self._models = dict.fromkeys(world.models)
        self._servers = dict.fromkeys(world.tools)
        self._kinds = dict.fromkeys(world.agents)
        self._agents: Mapping[str, str] = initial.kind_of
        self._members: dict[str, int] = {}
        sizes = initial.sizes
        for kind, agent in world.agents.items():
            for index, group in enumerate(agent.groups):
                self._check_group(group, ("agents", kind, "groups", index))
                self._members[group] = self._members.get(group, 0) + sizes[kind]
        self._spawns = any(agent.grants.spawn for agent in world.agents.values())
        self._vague = tuple(kind for kind in world.agents if self._is_vague(kind))
        self._chosen: dict[tuple[str, str], list[str]] = {}
        self._matching: dict[str, bool] = {}
        self._comparisons = 0
        self._granted = 0
        self._present = _listed_names(self._agents, self._members)
        self._all_vague = problems.at(("agents",)) or any(self._hides_names(kind) for kind in world.agents)

    def grants(self, kind: str, grants: Grants) -> core.KindGrants:
        """Return the grants of a kind, checked, in order of name. Patterns over models and kinds are written out."""
        path: KeyPath = ("agents", kind, "grants")
        return core.KindGrants(
            generate=_sorted(self._choose(grants.generate, self._models, "model", (*path, "generate"))),
            send=_sorted(self._reach(grants.send, (*path, "send"))),
            spawn=_sorted(self._choose(grants.spawn, self._kinds, "kind of agent", (*path, "spawn"))),
            stop=_sorted(self._reach(grants.stop, (*path, "stop"))),
            infer=_sorted(self._choose(grants.infer, self._models, "model", (*path, "infer"))),
            embed=_sorted(self._choose(grants.embed, self._models, "model", (*path, "embed"))),
            finish=grants.finish,
            run_python=grants.run_python,
            ask=grants.ask,
            call=_sorted(self._tools(grants.call, (*path, "call"), approve=False)),
            approve=_sorted(self._tools(grants.call, (*path, "call"), approve=True)),
        )

    def _tools(self, wanted: Sequence[Any], path: KeyPath, *, approve: bool) -> Iterator[str]:
        """Names of tools and servers, and patterns of them, of which a person approves each call, or none does.

        Tools are not known before their servers have listed them; servers are.
        """
        for index, entry in enumerate(wanted):
            is_table = isinstance(entry, CallGrant)
            name = entry.tool if is_table else entry
            if (is_table and entry.approve) != approve:
                continue
            server = name.partition(".")[0]
            if is_pattern(name) and not is_pattern(server) and server in self._servers:
                yield name
            elif is_pattern(server):
                if matcher(server) is None or not any(pattern(server).fullmatch(known) for known in self._servers):
                    hint = partial(_hint_for_choice, server, self._servers)
                    self._problems.add((*path, index), f"no tool server matches {quoted(server)}", hint)
                yield name
            elif server in self._servers:
                yield name
            else:
                hint = partial(_hint_for_choice, server, self._servers)
                self._problems.add((*path, index), f"there is no tool server {quoted(server)}", hint)

    def check_messages(self, messages: Sequence[InitialMessage]) -> None:
        for index, message in enumerate(messages):
            path: KeyPath = ("messages", index, "to")
            name = message.to
            if self._problems.at(path) or self._problems.at(path[:-1]) or name in self._agents:
                continue
            if name in self._members:
                if not self._members[name] and not self._is_excused(name):
                    hint = "Give an agent of the group a count above 0, or send to another."
                    self._problems.add(path, f"the group {quoted(name)} has nobody in it in round 1", hint)
            elif is_pattern(name):
                self._problems.add(path, f"{quoted(name)} is a pattern", "Send to an agent or to a group.")
            elif not self._is_excused(name):
                self._unknown(name, path, "")

    def _choose(self, wanted: Sequence[str], known: Mapping[str, None], what: str, path: KeyPath) -> Iterator[str]:
        """Names among few known ones, patterns written out."""
        for index, name in enumerate(wanted):
            if is_pattern(name):
                found = self._chosen.get((what, name))
                if found is None:
                    matches = matcher(name)
                    if matches is None or not self._may_compare(len(known), (*path, index)):
                        found = []
                    else:
                        found = [candidate for candidate in known if matches(candidate)]
                    self._chosen[what, name] = found
                if not found:
                    self._problems.add(
                        (*path, index),
                        f"no {what} matches {quoted(name)}",
                        lambda: f"The world has: {listed(list(known))}.",
                    )
                if self._may_grant(len(found), (*path, index)):
                    yield from found
            elif name in known:
                yield name
            else:
                self._problems.add(
                    (*path, index), f"there is no {what} {quoted(name)}", partial(_hint_for_choice, name, known)
                )

    def _reach(self, wanted: Sequence[str], path: KeyPath) -> Iterator[str]:
        """Names, patterns and groups of agents."""
        for index, name in enumerate(wanted):
            if is_pattern(name):
                self._check_pattern(name, (*path, index))
            elif name not in self._agents and name not in self._members and not self._is_excused(name):
                self._check_unknown(name, (*path, index))
            yield name

    def _check_pattern(self, pattern: str, path: KeyPath) -> None:
        matches = matcher(pattern)
        if matches is None:
            hint = f"* stands for any characters and ? for one; all others are those of names. {NAME_HINT}"
            self._problems.add(path, f"{quoted(pattern)} is no pattern of names", hint)
        elif self._spawns or self._vague or self._all_vague:
            return
        elif not self._matches_any(pattern, matches, path):
            hint = f"Correct the pattern. {self._present}"
            self._problems.add(path, f"no agent matches {quoted(pattern)}", hint)

    def _matches_any(self, pattern: str, matches: Callable[[str], object], path: KeyPath) -> bool:
        """Return True if a pattern matches an agent or a group, or if that can no longer be found out."""
        found = self._matching.get(pattern)
        if found is None:
            found = False
            for number, name in enumerate(chain(self._agents, self._members), 1):
                if matches(name):
                    found = True
                    break
                if number % _BLOCK == 0 and not self._may_compare(_BLOCK, path):
                    return True
            self._matching[pattern] = found
        return found

    def _may_compare(self, count: int, path: KeyPath) -> bool:
        """Count comparisons of names with patterns. False: they are too many, which is reported once."""
        before = self._comparisons
        self._comparisons += count
        if before <= COMPARISONS_MAX < self._comparisons:
            hint = "Use groups, or fewer patterns: each is compared with every name until one matches."
            self._problems.add(path, f"takes more than {COMPARISONS_MAX} comparisons of names to check", hint)
        return self._comparisons <= COMPARISONS_MAX

    def _may_grant(self, count: int, path: KeyPath) -> bool:
        """Count what patterns grant when they are written out. False: it is too much, which is reported once."""
        before = self._granted
        self._granted += count
        if before <= GRANTED_MAX < self._granted:
            hint = f"The grants of a world come to at most {GRANTED_MAX} names of models and kinds. Grant fewer."
            self._problems.add(path, "grants too many names", hint)
        return self._granted <= GRANTED_MAX

    def _check_unknown(self, name: str, path: KeyPath) -> None:
        if name == OUTSIDE:
            self._problems.add(path, f"{quoted(name)} is nobody", f"Name an agent or a group. {RESERVED_HINT}")
        elif (wrong := fault(name)) is not None:
            self._problems.add(path, f"{quoted(name)} {wrong[0]}", wrong[1])
        elif not self._spawns:
            self._unknown(name, path, " Unknown names are allowed only where some kind can be spawned (grants.spawn).")

    def _unknown(self, name: str, path: KeyPath, rule: str) -> None:
        self._problems.add(
            path, f"there is no agent or group {quoted(name)}", lambda: self._hint_for_unknown(name, rule)
        )

    def _hint_for_unknown(self, name: str, rule: str) -> str:
        meant = nearest(name, chain(self._members, self._kinds, self._agents))
        numbered = f"{meant}-1"
        if meant is not None and meant not in self._agents and numbered in self._agents:
            meant = f"{numbered} or {meant}-*" if rule else numbered
        start = f"Did you mean {meant}? " if meant else ""
        return f"{start}{self._present}{rule}"

    def _check_group(self, group: str, path: KeyPath) -> None:
        wrong = fault(group)
        if wrong is not None:
            self._problems.add(path, f"{quoted(group)} {wrong[0]}", wrong[1])
        elif group in self._agents:
            hint = "Rename the group or the agent: a message to the name could mean either."
            self._problems.add(path, f"the group {quoted(group)} has the name of an agent", hint)

    def _is_excused(self, name: str) -> bool:
        """Return whether an unknown name may be due to a problem that has been reported already."""
        return self._all_vague or any(name == kind or name.startswith(f"{kind}-") for kind in self._vague)

    def _is_vague(self, kind: str) -> bool:
        return any(self._problems.at(("agents", kind, key)) for key in ("count", "args"))

    def _hides_names(self, kind: str) -> bool:
        path: KeyPath = ("agents", kind)
        return self._problems.at(path) or self._problems.at((*path, "table")) or self._problems.below((*path, "groups"))


def _hint_for_choice(name: str, known: Mapping[str, None]) -> str:
    meant = nearest(name, known)
    start = f"Did you mean {meant}? " if meant else ""
    return f"{start}The world has: {listed(list(known))}."


def _listed_names(agents: Iterable[str], groups: Iterable[str]) -> str:
    some_groups = f" Groups: {listed(list(groups))}." if groups else ""
    return f"Agents: {listed(list(agents))}.{some_groups}"


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    """Return each name once, in order of name: how a grant is written leaves no trace in the plan."""
    return tuple(sorted(set(names)))
