"""The work of one rendering of a chat template, counted.

Nothing that a template does is free: characters that are made or looked at, passes of loops, calls. So a rendering is
refused at the same place on every machine, and neither its time nor its memory is more than what `WORK_MAX` allows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from jinja2 import Undefined

from turnwise.inference.text import marked_text

WORK_MAX: Final = 16 * 1024 * 1024
"""Units of work for each prompt: characters, and `CALL_WORK` for each call, comparison, pass of a loop, list entry."""
CALL_WORK: Final = 8
VALUE_DEPTH_MAX: Final = 16
INTEGER_BITS_MAX: Final = 256
"""Of whole numbers that a template calculates with."""
SHOWN_INTEGER_BITS_MAX: Final = 4096
"""Of whole numbers that are only compared or shown, such as those in the arguments of a request."""


class TemplateRefused(Exception):
    """Raised where a template calls `raise_exception`, or does what templates may not."""


class WorkMeter:
    """Count the work that one rendering has left. `depth` is how many macros are open."""

    def __init__(self) -> None:
        self.left = WORK_MAX
        self.depth = 0

    def charge(self, work: int = CALL_WORK) -> None:
        """Count work. Raises TemplateRefused if there is none left."""
        self.left -= work
        if self.left < 0:
            raise TemplateRefused(f"it needs more than {WORK_MAX} units of work (characters, passes of loops, calls)")

    def each(self, values: Iterable[Any]) -> Iterator[Any]:
        """Iterate, charging every pass. Characters of a text keep their marks."""
        for value in marked_text.characters(values) if isinstance(values, str) else values:
            self.charge()
            yield value

    def plain(self, value: Any, depth: int = VALUE_DEPTH_MAX) -> Any:
        """Return a copy of a value for comparing: texts without marks. All that it holds is charged."""
        if isinstance(value, str):
            self.charge(len(value) + 1)
            return marked_text.plain(str(value))
        self._check(value, depth)
        if isinstance(value, list | tuple):
            return type(value)([self.plain(item, depth - 1) for item in value])
        if isinstance(value, dict):
            return {self.plain(key, depth - 1): self.plain(item, depth - 1) for key, item in value.items()}
        return value

    def text(self, value: Any) -> str:
        """`str(value)` for values whose text is determined by what they hold; texts keep their marks."""
        if isinstance(value, str):
            text = str(value)
        else:
            self.check_shown(value)
            text = str(value)
        self.charge(len(text) + 1)
        return text

    def check_shown(self, value: Any, depth: int = VALUE_DEPTH_MAX) -> None:
        """Charge all that a value holds. Raises TemplateRefused if it holds what has no text of its own."""
        if isinstance(value, str):
            self.charge(len(value) + 1)
            return
        self._check(value, depth)
        if type(value) in (list, tuple):
            for item in value:
                self.check_shown(item, depth - 1)
        elif type(value) is dict:
            for key, item in value.items():
                self.check_shown(key, depth - 1)
                self.check_shown(item, depth - 1)
        elif not (value is None or isinstance(value, int | float | Undefined)):
            raise TemplateRefused(f"a value of type {type(value).__name__} has no text")

    def _check(self, value: Any, depth: int) -> None:
        self.charge()
        if isinstance(value, int) and value.bit_length() > SHOWN_INTEGER_BITS_MAX:
            raise TemplateRefused(f"a whole number of more than {SHOWN_INTEGER_BITS_MAX} bits")
        if depth == 0 and isinstance(value, list | tuple | dict):
            raise TemplateRefused(f"a value nested more than {VALUE_DEPTH_MAX} deep")


def scalar(value: Any) -> Any:
    """A key of a mapping, or what is sorted by: raises TemplateRefused for lists and the like, texts lose their marks.

    Hashing and ordering what holds other values takes time that its size does not bound.
    """
    if isinstance(value, str):
        return marked_text.plain(str(value))
    if value is None or isinstance(value, bool | int | float | Undefined):
        return value
    raise TemplateRefused(f"a value of type {type(value).__name__} is no key, and is not sorted")


def small(value: Any) -> Any:
    """Return a number for calculating. Raises TemplateRefused for whole numbers that are too large."""
    if isinstance(value, int) and value.bit_length() > INTEGER_BITS_MAX:
        raise TemplateRefused(f"a whole number of more than {INTEGER_BITS_MAX} bits")
    return value
