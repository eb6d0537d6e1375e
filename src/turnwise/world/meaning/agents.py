"""The agents that exist from the beginning, in order of place, each with its name, arguments and state."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from turnwise.core.envelope import text_bytes, within
from turnwise.core.plan import AgentPlan, valid_name
from turnwise.world.files import Refused, decode, locate, read_bytes
from turnwise.world.json_values import to_text
from turnwise.world.limits import AGENTS_MAX, ARGS_BYTES_MAX, STATE_BYTES_MAX, TABLE_BYTES_MAX
from turnwise.world.meaning.table import Table, read_table
from turnwise.world.names import NAME_HINT, fault
from turnwise.world.problems import KeyPath, Problems, dotted, quoted
from turnwise.world.written.types import Agent


@dataclass(slots=True)
class InitialAgents:
    """The agents of the beginning, and what spawned agents of their kinds start with."""

    agents: list[AgentPlan] = field(default_factory=list)
    """Agents in order of place."""
    args: dict[str, str] = field(default_factory=dict)
    """Arguments of spawned agents by kind, canonical JSON text."""
    states: dict[str, str] = field(default_factory=dict)
    """First state of spawned agents by kind, opaque text."""
    kind_of: dict[str, str] = field(default_factory=dict)
    """The kind of each agent, by the agent's name."""
    sizes: dict[str, int] = field(default_factory=dict)
    """The number of agents of each kind."""


def list_agents(kinds: Mapping[str, Agent], base: Path, root: Path | None, problems: Problems) -> InitialAgents:
    """List the agents of all kinds. What is wrong is reported; the result is then only good for finding more."""
    initial = InitialAgents()
    for name, agent in kinds.items():
        _KindMembers(name, agent, problems).join(initial, base, root)
    if not initial.agents and not problems.below(("agents",)):
        problems.add(("agents",), "the world has no agents", 'Add one: [agents.narrator], then source = "narrator.py".')
    return initial


class _KindMembers:
    """The agents of one kind, before they join the agents of all kinds."""

    def __init__(self, kind: str, agent: Agent, problems: Problems) -> None:
        self.kind = kind
        self.agent = agent
        self.path: KeyPath = ("agents", kind)
        self.problems = problems

    def join(self, initial: InitialAgents, base: Path, root: Path | None) -> None:
        wrong = fault(self.kind)
        if wrong is not None:
            self.problems.add(self.path, *wrong)
        own = self._own_args()
        shared = own if isinstance(own, str) else "{}"
        state = self._state()
        initial.args[self.kind] = shared
        initial.states[self.kind] = state
        table = self._table(base, root)
        size = self._size(table)
        initial.sizes[self.kind] = size
        if len(initial.agents) + size > AGENTS_MAX:
            hint = f"A world has at most {AGENTS_MAX} agents from the beginning, all kinds together."
            key = "table" if table is not None else "count"
            self.problems.add((*self.path, key), f"makes {size} agents, which is too many", hint)
            return
        names = self._names(table, size)
        self._claim(names, initial.kind_of)
        texts = self._arguments(own, table, size)
        self._check_sizes(texts, state)
        initial.agents += [AgentPlan(name, self.kind, text, state) for name, text in zip(names, texts, strict=True)]

    def _check_sizes(self, args: Sequence[str], state: str) -> None:
        """Report agents that a first turn would have to fail for: args and state are bounded together."""
        bytes_max = self.agent.state_mib * 1024 * 1024
        longest = max(set(args), key=text_bytes, default="{}")
        if not within((longest, state), bytes_max):
            hint = f"Make args or state smaller, or raise state_mib of {dotted(self.path)}."
            message = f"args and state of an agent come to more than {self.agent.state_mib} MiB as JSON"
            self.problems.add((*self.path, "state_mib"), message, hint)

    def _own_args(self) -> str | list[str]:
        """Return the args of the kind as canonical text: one for all agents, or one for each."""
        args = self.agent.args
        path = (*self.path, "args")
        if isinstance(args, Mapping):
            return to_text(args, path, self.problems, ARGS_BYTES_MAX) or "{}"
        return [
            (isinstance(item, Mapping) and to_text(item, (*path, index), self.problems, ARGS_BYTES_MAX)) or "{}"
            for index, item in enumerate(args)
        ]

    def _state(self) -> str:
        state = self.agent.state
        path = (*self.path, "state")
        if isinstance(state, Mapping):
            return to_text(state, path, self.problems, STATE_BYTES_MAX) or ""
        if state is not None and len(state.encode()) > STATE_BYTES_MAX:
            self.problems.add(path, "is too long", f"At most {STATE_BYTES_MAX} bytes are allowed.")
        return state or ""

    def _table(self, base: Path, root: Path | None) -> Table | None:
        file = self.agent.table
        path = (*self.path, "table")
        if file is None:
            if self.agent.columns:
                hint = 'Add table = "people.csv", or take columns out.'
                self.problems.add((*self.path, "columns"), "is there without a table", hint)
            return None
        if self.agent.count is not None:
            hint = "Remove count: a table has one agent a row."
            self.problems.add((*self.path, "count"), "is there together with table", hint)
        name = Path(file).name
        try:
            text = decode(read_bytes(locate(file, base, root), TABLE_BYTES_MAX), name)
        except Refused as error:
            self.problems.add(path, error.message, error.hint)
            return None
        return read_table(text, name, self.agent.columns, partial(self.problems.add, path))

    def _size(self, table: Table | None) -> int:
        if self.agent.table is not None:
            return 0 if table is None else len(table.lines)
        if self.agent.count is not None:
            return self.agent.count
        return 1 if isinstance(self.agent.args, Mapping) else len(self.agent.args)

    def _names(self, table: Table | None, size: int) -> Sequence[str]:
        if table is not None and table.names is not None:
            self._check_row_names(table.names, table.lines)
            return table.names
        if self.agent.table is None and self.agent.count is None and isinstance(self.agent.args, Mapping):
            return (self.kind,)
        last = f"{self.kind}-{size}"
        if valid_name(self.kind) and not valid_name(last):
            hint = f"Shorten the name of the kind: its agents are numbered up to {last}. {NAME_HINT}"
            self.problems.add(self.path, "is too long a name", hint)
        return [f"{self.kind}-{number}" for number in range(1, size + 1)]

    def _check_row_names(self, names: Sequence[str], lines: Sequence[int]) -> None:
        for name, line in zip(names, lines, strict=True):
            wrong = fault(name)
            if wrong is not None:
                message, hint = wrong
                self.problems.add((*self.path, "table"), f"line {line}: the name {quoted(name)} {message}", hint)

    def _claim(self, names: Sequence[str], kind_of: dict[str, str]) -> None:
        """Enter the names as taken, and report those that were taken already."""
        fresh = dict.fromkeys(names, self.kind)
        if len(fresh) < len(names):
            twice = next(name for name, times in Counter(names).items() if times > 1)
            hint = "Give every row a name of its own."
            self.problems.add((*self.path, "table"), f"has two agents named {quoted(twice)}", hint)
        taken = [name for name in fresh if name in kind_of]
        if taken:
            other = dotted(("agents", kind_of[taken[0]]))
            hint = "Rename one of the kinds, so that each agent's name is used once."
            self.problems.add(self.path, f"has an agent {quoted(taken[0])}, and so has {other}", hint)
        kind_of.update(fresh)

    def _arguments(self, own: str | list[str], table: Table | None, size: int) -> Sequence[str]:
        """Return the args of each agent as canonical text: the row's over the kind's."""
        if isinstance(own, list) and len(own) != size:
            if self.agent.table is None or table is not None:
                hint = "Write one table for each agent, or a single table for all."
                self.problems.add((*self.path, "args"), f"has {len(own)} tables, and there are {size} agents", hint)
            own = "{}"
        if table is None or not table.columns:
            return own if isinstance(own, list) else [own] * size
        texts = table.texts_over([json.loads(text) for text in (own if isinstance(own, list) else [own])])
        if max(len(text.encode()) for text in texts) > ARGS_BYTES_MAX:
            hint = f"At most {ARGS_BYTES_MAX} bytes are allowed for one agent: send large data as messages."
            self.problems.add((*self.path, "table"), "has a row that is too long", hint)
        return texts
