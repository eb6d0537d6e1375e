"""Text that comes from agents, models, world files and journals, made fit to be shown.

Such text may hold anything: escape sequences that recolour or rewrite the terminal, carriage returns that hide what
stands before them, bidirectional controls that turn a line around. All of it is shown, and none of it acts.
"""

from __future__ import annotations

import re

_ACTING = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 and C1 controls, with DEL; but for tab and line feed
    "\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e"  # format characters: invisible, or reordering
    "\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff"  # surrogates that stand alone: no character at all
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f"
)
_ACTS = re.compile(f"[\t\n{_ACTING}]")
_ACTS_IN_LINES = re.compile(f"[{_ACTING}]")
_SHORT_NAMES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\a": "\\a", "\x1b": "\\e", "\0": "\\0"}


def visible(text: str, *, lines: bool = False) -> str:
    r"""The text with every character that would act on a terminal shown as an escape instead: ``\e[2J``, ``\u202e``.

    As one line, or with `lines` as it is broken into lines and indented by tabs. The joiners U+200C and U+200D stay:
    emoji and several scripts are written with them.
    """
    return (_ACTS_IN_LINES if lines else _ACTS).sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    code = ord(character)
    if character in _SHORT_NAMES:
        return _SHORT_NAMES[character]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
