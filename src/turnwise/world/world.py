"""`World`: a world of agents, built in Python or read from a world file. Both say the same and give the same plan."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Self

from turnwise.core.plan import Plan
from turnwise.errors import InvariantError
from turnwise.world.meaning.resolve import Resolved, resolve
from turnwise.world.plan import build_plan
from turnwise.world.problems import Problems, quoted
from turnwise.world.written.document import Document, describe, load, world_file
from turnwise.world.written.overrides import Overrides, apply_overrides
from turnwise.world.written.parse import parse
from turnwise.world.written.types import Description


@dataclass(frozen=True, slots=True)
class World(Description):
    """A world of agents.

    Building one checks nothing; `resolve` does, and so do `read` and `override`. A world never changes:
    `dataclasses.replace(world, seed=8)` makes another.
    """

    _resolved: Resolved | None = field(default=None, init=False, repr=False, compare=False)

    @classmethod
    def read(cls, path: str | os.PathLike[str], overrides: Overrides | None = None) -> Self:
        """Read and check a world: a folder with a world.toml, or such a file.

        Raises WorldError with everything that is wrong with it.
        """
        file = world_file(Path(path))
        problems = Problems(str(file))
        document = load(file, problems)
        if document is None:
            problems.raise_if_any()
            raise InvariantError("a world file was not read, and nothing was wrong with it")
        return cls._checked(document, file.parent.absolute(), overrides, problems)

    def override(self, overrides: Overrides) -> Self:
        """Return the same world with something changed by options, and checked. Raises WorldError."""
        return self._checked(describe(self), self.folder, overrides, self._problems())

    def resolve(self) -> Resolved:
        """Check the world and read its sources and tables: once, later calls return the same.

        Raises WorldError with everything that is wrong.
        """
        if self._resolved is None:
            checked = self._checked(describe(self), self.folder, None, self._problems())
            object.__setattr__(self, "_resolved", checked._resolved)
        if self._resolved is None:
            raise InvariantError("a world was checked and not resolved")
        return self._resolved

    def plan(self, codes: Mapping[str, str], models: Mapping[str, str]) -> Plan:
        """Return the plan, given the hash of each kind's code and of each model's content (SHA-256, hex)."""
        return build_plan(self.resolve(), codes, models)

    @classmethod
    def _checked(
        cls,
        document: Document,
        folder: str | os.PathLike[str] | None,
        overrides: Overrides | None,
        problems: Problems,
    ) -> Self:
        """Return the world that a document describes, resolved. Raises WorldError."""
        if overrides is not None:
            document = apply_overrides(document, overrides, problems)
        description = parse(document, folder, problems)
        resolved = resolve(description, problems)
        problems.raise_if_any()
        world = cls(**{item.name: getattr(description, item.name) for item in fields(description)})
        object.__setattr__(world, "_resolved", resolved)
        return world

    def _problems(self) -> Problems:
        return Problems(f"World({quoted(self.name) if isinstance(self.name, str) else '…'})")
