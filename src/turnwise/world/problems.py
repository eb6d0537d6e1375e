"""Problems are collected, not raised one by one, so that one check of a world says everything that is wrong."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

from turnwise.errors import Problem, WorldError
from turnwise.visible_text import visible
from turnwise.world.limits import PROBLEMS_MAX

KeyPath = tuple[str | int, ...]
"""A place in a world: `("agents", "narrator", "count")`, `("messages", 0, "body")`."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SHOWN_MAX = 60
_CANDIDATES_MAX = 1_000


def dotted(path: KeyPath) -> str:
    """Return the path as `--set` takes it: `agents.narrator.count`, `agents."a.b".count`, `messages.0.body`."""
    return ".".join(str(key) if isinstance(key, int) or _BARE.fullmatch(key) else quoted(key) for key in path)


def quoted(text: str) -> str:
    """Return the text in double quotes on one line, shortened, with what would act on a terminal as escapes."""
    return f'"{visible(text if len(text) <= _SHOWN_MAX else text[: _SHOWN_MAX - 1] + "…")}"'


def said(value: object) -> str:
    """Return a wrong value in words, with its type: `the text "3"`, `the number 3.5`, `a table`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {quoted(value)}"
    if isinstance(value, int | float):
        digits = str(value) if isinstance(value, float) or abs(value) < 10**_SHOWN_MAX else "of very many digits"
        return f"the number {digits}"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    return f"a value of type {type(value).__name__}"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that was probably meant, or None. Of very many, only the first are looked at."""
    candidates = list(islice(known, _CANDIDATES_MAX))
    for candidate in candidates:
        if candidate.casefold() == word.casefold():
            return candidate
    found = difflib.get_close_matches(word, candidates, n=1, cutoff=0.6)
    return found[0] if found else None


def listed(words: Sequence[str], empty: str = "none") -> str:
    """Return a few words for a hint: `a, b, c and 7 more`."""
    if not words:
        return empty
    shown = ", ".join(words[:12])
    return shown if len(words) <= 12 else f"{shown} and {len(words) - 12} more"


class Problems:
    """The problems found in one world so far.

    `label` names the file (or the World built in Python). Key paths that an option has set are blamed on the option.
    """

    def __init__(self, label: str) -> None:
        self.label = label
        self.found: list[Problem] = []
        self._count = 0
        self._paths: set[KeyPath] = set()
        self._above: set[KeyPath] = set()
        self._options: dict[KeyPath, str] = {}

    def mark(self, path: KeyPath, option: str) -> None:
        """Say that what stands at `path` came from `option` (`--seed`), and no longer from the file."""
        self._options[path] = option

    def where(self, path: KeyPath) -> str:
        for length in range(len(path), 0, -1):
            option = self._options.get(path[:length])
            if option is not None:
                return option if length == len(path) else f"{option}: {dotted(path)}"
        return f"{self.label}: {dotted(path)}" if path else self.label

    def add(self, path: KeyPath, message: str, hint: str | Callable[[], str]) -> None:
        """Add a problem. A hint that costs something is given as a function, called only if it will be shown."""
        self._count += 1
        self._paths.add(path)
        self._above.update(path[:length] for length in range(len(path) + 1))
        if self._count <= PROBLEMS_MAX:
            text = hint if isinstance(hint, str) else hint()
            self.found.append(Problem(visible(self.where(path)), visible(message), visible(text)))

    def add_option(self, option: str, message: str, hint: str) -> None:
        """A problem with an option itself, which names no place in the world."""
        self._count += 1
        self.found.append(Problem(visible(option), visible(message), visible(hint)))

    def at(self, path: KeyPath) -> bool:
        """Return True if something is wrong at exactly this place, so that its consequences need not be reported."""
        return path in self._paths

    def below(self, path: KeyPath) -> bool:
        """Return whether something is wrong at this place or inside it."""
        return path in self._above

    def __bool__(self) -> bool:
        return self._count > 0

    def raise_if_any(self) -> None:
        """Raise WorldError with all problems, if there are any."""
        if not self._count:
            return
        rest = self._count - len(self.found)
        if rest:
            self.found.append(
                Problem(self.label, f"and {rest} more problems", "Correct the ones above first, then check again.")
            )
            self._count = len(self.found)
        raise WorldError(self.found)
