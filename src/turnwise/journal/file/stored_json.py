"""JSON texts that a journal holds, decoded: what is none is damage, and said to be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from turnwise.journal.file.errors import damaged


def stored_json(text: str, what: str, path: Path) -> Any:
    """The value behind a stored JSON text. Raises JournalError that names `what` it is if the text is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"{what} is not JSON: {error}") from error


def stored_object(text: str, what: str, path: Path) -> dict[str, Any]:
    """The object behind a stored JSON text. Raises JournalError if the text is not that of an object."""
    value = stored_json(text, what, path)
    if not isinstance(value, dict):
        raise damaged(path, f"{what} is not a JSON object", actual=text)
    return value
