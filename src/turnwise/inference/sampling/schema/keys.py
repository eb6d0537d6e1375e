r"""Keys of objects, so that what a schema says of a name holds however the name is written.

llguidance tells listed names from others by their text in JSON, where `"\u0070rice"` is another text than `"price"` and
the same key. In a pattern's keys, only control characters are written so. So the keys that are not listed become those
of a pattern that all other names match; and since one of them may come several times, which counts once, there is no
minimum that only they can fill.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.sampling.schema.positions import names

ANY_NAME: Final = "(?s).*"
NAME_CHARS_MAX: Final = 200
NAMES_CHARS_MAX: Final = 4_096
"""Of names that a pattern must leave out."""

_END: Final = "end"
_CONTROL: Final = re.compile("[\x00-\x1f\x7f]")


def with_closed_keys(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with every key that is not listed under a pattern. Raises Refusal where that is not possible."""
    listed, patterns = names(schema), schema.get("patternProperties")
    others = schema.get("additionalProperties", True)
    _check_minimum(schema, others, bool(patterns))
    if not patterns and (not listed or others is False):
        return schema
    for name in listed:
        if _CONTROL.search(name):
            raise Refusal(
                "refused",
                "json_schema has a property whose name has a control character beside keys that are not listed: say "
                "additionalProperties false",
            )
    if not patterns:
        pattern = ANY_NAME if others in (True, {}) else _other_names(listed)
        return {**schema, "patternProperties": {pattern: others}, "additionalProperties": False}
    if others not in (True, False):
        raise Refusal(
            "refused", "json_schema has additionalProperties of a schema beside patternProperties: leave out either"
        )
    return {**schema, "additionalProperties": False}


def _other_names(listed: Sequence[str]) -> str:
    """Return a pattern of all names but these: where a name leaves the tree of the listed ones, anything may follow."""
    if max(map(len, listed)) > NAME_CHARS_MAX or sum(map(len, listed)) > NAMES_CHARS_MAX:
        raise Refusal(
            "refused",
            f"json_schema lists names of more than {NAME_CHARS_MAX} characters, or {NAMES_CHARS_MAX} in all, beside "
            "additionalProperties of a schema: say additionalProperties false",
        )
    tree: dict[str, Any] = {}
    for name in listed:
        node = tree
        for letter in name:
            node = node.setdefault(letter, {})
        node[_END] = True
    return f"^{_outside(tree)}$"


def _outside(node: dict[str, Any]) -> str:
    """Return what may follow where the names of a tree have come to `node`, so that the key is none of them."""
    letters = [letter for letter in node if letter != _END]
    if not letters:
        return "(?s:.)+"
    choices = [re.escape(letter) + _outside(node[letter]) for letter in letters]
    choices.append(f"[^{''.join(re.escape(letter) for letter in letters)}](?s:.)*")
    return f"(?:{'|'.join(choices)}){'' if _END in node else '?'}"


def _check_minimum(schema: dict[str, Any], others: Any, patterns: bool) -> None:
    """`minProperties` counts keys, and of those that are not listed one may come twice."""
    minimum = schema.get("minProperties")
    required = schema.get("required")
    certain = len(set(map(str, required))) if isinstance(required, list) else 0
    if isinstance(minimum, int | float) and minimum > certain + 1 and (others is not False or patterns):
        raise Refusal(
            "refused",
            f"json_schema has minProperties {minimum} and {certain} required, and others could come twice: list the "
            "properties and say additionalProperties false",
        )
