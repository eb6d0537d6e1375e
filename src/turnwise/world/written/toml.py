"""Reading TOML in a time that follows its length.

The parser takes time and memory that grow with the square of the parts of a dotted key, so keys are counted before it
sees them.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any, Final

from turnwise.world.limits import KEY_PARTS_MAX

# A text that is not closed is taken to its end, so that nothing is looked at twice: the parser will say so.
_PART: Final = r"""(?:[A-Za-z0-9_-]++|"(?:[^"\\\n]++|\\.)*+"?+|'[^'\n]*+'?+)"""
_DOT: Final = r"[ \t]*+\.[ \t]*+"
_TOKEN: Final = re.compile(
    r'"""(?:[^"\\]++|\\.|"{1,2}(?!"))*+"{0,5}+'  # texts of several lines may hold anything
    r"|'''(?:[^']++|'{1,2}(?!'))*+'{0,5}+"
    r"|#[^\n]*+"
    rf"|(?P<long>{_PART}(?:{_DOT}{_PART}){{{KEY_PARTS_MAX}}})"
    rf"|{_PART}(?:{_DOT}{_PART})*+",
    re.DOTALL,
)


class LongKeyError(ValueError):
    """A key of more parts than `KEY_PARTS_MAX`. `line` counts from 1."""

    def __init__(self, line: int) -> None:
        super().__init__(f"a key of more than {KEY_PARTS_MAX} parts")
        self.line = line


def parse_toml(text: str) -> dict[str, Any]:
    """Return the document of a TOML text. Raises `LongKeyError`, and what `tomllib.loads` raises."""
    for token in _TOKEN.finditer(text):
        if token["long"] is not None:
            raise LongKeyError(text.count("\n", 0, token.start()) + 1)
    return tomllib.loads(text)
