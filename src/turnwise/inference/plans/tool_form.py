"""The form in which a model writes calls of tools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

CALL_ID: Final = "\0"
"""Stands in a form's texts where the call's own name is written."""
CALL_ID_CHARS: Final = 9


@dataclass(frozen=True, slots=True)
class ToolForm:
    """Literal texts around the names and arguments of calls, as the model's own chat template writes them.

    - `head`: from the beginning of the answer, or from the end of its text, to the first name
    - `middle`: from a name to its arguments, which are a JSON object
    - `joint`: from arguments to the next name; None where an answer has one call only
    - `tail`: from the last arguments to the end of the answer
    - `specials`: ids of special tokens whose names occur in these texts; readers of an answer are not shown them
    - `arguments_as_text`: whether the template takes arguments as JSON text instead of as an object
    """

    head: str
    middle: str
    joint: str | None
    tail: str
    specials: Mapping[str, int] = field(default_factory=dict)
    arguments_as_text: bool = False
