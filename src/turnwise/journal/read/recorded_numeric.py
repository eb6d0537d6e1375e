"""Numeric classes of language models, as the writers of a journal noted them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from turnwise.core.promise import Promise, promise_of
from turnwise.journal.file.errors import damaged


@dataclass(frozen=True, slots=True)
class RecordedNumeric:
    """Numeric class of a model, as a journal holds it."""

    promise: Promise
    """Reproducibility of its answers."""
    batching: str | None
    """Rule under which its sequences were batched; None if it was not noted."""
    reproducible: bool = True
    """False if equal bits were given up for speed."""


def recorded_numeric(versions: str, path: Path) -> dict[str, RecordedNumeric]:
    """Numeric classes of the language models in a writer's `versions`. JournalError if no run noted that text."""
    found: dict[str, RecordedNumeric] = {}
    try:
        models = json.loads(versions).get("models", {})
        for name, model in models.items():
            numeric = model.get("numeric")
            if numeric is not None:  # models of other tasks have none
                found[name] = RecordedNumeric(
                    promise_of(numeric["numeric_class"]),
                    numeric.get("batching"),
                    numeric.get("reproducible") is not False,  # older journals say nothing of it
                )
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError) as error:
        raise damaged(path, f"versions of a writer are not what a run notes: {error}") from error
    return found
