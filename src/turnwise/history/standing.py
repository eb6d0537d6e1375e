"""Reasons why a machine cannot be held to what a model answered in a run: another build, provider, rule or file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from turnwise.core.promise import Promise, promise_of, weakest
from turnwise.inference.plans.model_info import ModelInfo
from turnwise.journal import Journal
from turnwise.journal.file.stored_json import stored_object
from turnwise.journal.read.recorded_numeric import recorded_numeric
from turnwise.orchestrator.writer_notes import versions_of

_NOT_IN_OLDER_JOURNALS = {"processor"}
_IN_PLAIN_WORDS = {"nodes": "the share of each provider in the graph", "form": "the form of its KV cache"}


class RecordedModels:
    """Models as those who wrote the rounds `first` to `last` of a journal noted them."""

    def __init__(self, journal: Journal, first: int, last: int) -> None:
        self._path = journal.path
        writers = journal.header.writers()
        begins = [writer.round + 1 for writer in writers]
        ends = [*[begin - 1 for begin in begins[1:]], last]
        self._versions = [
            writer.versions
            for writer, begin, end in zip(writers, begins, ends, strict=True)
            if begin <= last and end >= first and begin <= end
        ]

    def promise(self, name: str) -> Promise | None:
        """The weakest class of a language model that was noted; None for a model of another task."""
        found = [recorded_numeric(versions, self._path).get(name) for versions in self._versions]
        promises = [numeric.promise for numeric in found if numeric is not None]
        return weakest(promises) if promises else None

    def gave_up(self, name: str) -> bool:
        """True if a writer had a language model run with equal bits given up."""
        found = [recorded_numeric(versions, self._path).get(name) for versions in self._versions]
        return any(not numeric.reproducible for numeric in found if numeric is not None)

    def names_processor(self, name: str) -> bool:
        """True if every writer noted the features of the processor that ran a model."""
        return all("processor" in _mapping(_noted(text, name, self._path).get("versions")) for text in self._versions)

    def unlike(self, info: ModelInfo) -> list[str]:
        """The ways in which a loaded model, and what runs it, is not what is recorded. Empty if all is the same."""
        here = json.loads(versions_of({info.name: info}))
        found: dict[str, None] = {}
        for text in self._versions:
            then = stored_object(text, "versions of a writer", self._path)
            noted = _noted(text, info.name, self._path)
            if not noted:
                found["the journal does not say what ran it"] = None
                continue
            found |= dict.fromkeys(_unlike(then, noted, here, here["models"][info.name]))
        return list(found)


def _noted(text: str, name: str, path: Path) -> Mapping[str, Any]:
    """Return the facts that a writer noted of a model; empty if it noted none."""
    models = _mapping(stored_object(text, "versions of a writer", path).get("models"))
    return _mapping(models.get(name))


def _unlike(
    then: Mapping[str, Any], noted: Mapping[str, Any], here: Mapping[str, Any], now: Mapping[str, Any]
) -> Iterator[str]:
    for key in ("system", "machine"):
        yield from _other(key, then.get(key), here[key])
    for key in ("provider", "nodes", "form"):
        yield from _other(_IN_PLAIN_WORDS.get(key, key), noted.get(key), now[key])
    left, right = _mapping(noted.get("numeric")), _mapping(now["numeric"])
    yield from _other("numeric class", _class(left), _class(right))
    yield from _other("batching", left.get("batching"), right.get("batching"))
    left, right = _mapping(noted.get("versions")), _mapping(now["versions"])
    for key in sorted(left.keys() | right.keys() - _NOT_IN_OLDER_JOURNALS):
        yield from _other(key, left.get(key), right.get(key))


def _class(numeric: Mapping[str, Any]) -> str | None:
    return promise_of(str(numeric.get("numeric_class"))) if numeric else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _other(what: str, then: object, now: object) -> Iterator[str]:
    if then != now:
        yield f"{what} was {_shown(then)}, and is {_shown(now)} here"


def _shown(value: object) -> str:
    return "not there" if value is None else value if isinstance(value, str) else json.dumps(value, sort_keys=True)
