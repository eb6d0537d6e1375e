"""Results of mutants in a file, a line each, written as they come, so that a run that was ended goes on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from tests.mutants.changes import Mutant


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a mutant."""

    key: str
    killer: str | None
    """The test that noticed it, or how its process ended. None: it survived."""
    reached: int
    """The number of tests that it can matter to."""
    source: str
    """A digest of the module that was changed: of another text of it, nothing is known."""


class Results:
    """The file, and what stands in it. Without a path, nothing is kept. `again` forgets those that survived."""

    def __init__(self, path: Path | None, again: bool = False) -> None:
        self._path = path
        self._known: dict[tuple[str, str], Result] = {}
        for line in path.read_text(encoding="utf-8").splitlines() if path and path.exists() else ():
            result = Result(**json.loads(line))
            self._known[result.key, result.source] = result
        if again:
            self._known = {place: result for place, result in self._known.items() if result.killer is not None}

    def known(self, mutant: Mutant) -> Result | None:
        """Return what came of this change of this text of its module."""
        return self._known.get((mutant.key, source(mutant)))

    def add(self, mutant: Mutant, killer: str | None, reached: int) -> Result:
        """Note what came of a mutant, at once."""
        result = Result(mutant.key, killer, reached, source(mutant))
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(result)) + "\n")
        return result


def source(mutant: Mutant) -> str:
    """Return a digest of the text of a mutant's module."""
    return sha256(mutant.path.read_bytes()).hexdigest()[:16]
