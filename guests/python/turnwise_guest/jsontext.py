"""JSON values as one canonical text, and clear words about values that are none.

Canonical means: the same value gives the same bytes (keys sorted, no spaces, no escapes but those that JSON needs).
What the standard encoder would change in silence is refused here: a key that is not a string would come back as one
in the next turn, and the agent would look for 5 where there is "5".
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import accumulate
from typing import Any

NESTING_MAX = 1000
"""Levels of lists and objects in a JSON text. More would only serve to exhaust the stack of whoever handles it."""

SHOWN_CHARS_MAX = 80
"""Longer texts are cut where a `repr` shows them."""

_CONTAINERS = (dict, list, tuple)
encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode
"""Return the canonical text of what is known to be JSON."""
_encode_in_order = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


_decode = json.JSONDecoder(parse_constant=_refuse).decode

_NO_BRACKETS = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[^"\[\]{}]++', re.DOTALL)
"""Strings, and what lies between them and brackets. Possessive: it never goes back, whatever the text."""

_STEPS = {"[": 1, "{": 1, "]": -1, "}": -1}


def decode(text: str) -> Any:
    """Return the value of a JSON text.

    Raises `ValueError`, also for NaN and infinities, which Python otherwise lets through, and for more than
    `NESTING_MAX` levels.
    """
    if text.count("[") + text.count("{") > NESTING_MAX and nesting(text) > NESTING_MAX:
        raise ValueError(f"the JSON text is nested more than {NESTING_MAX} levels deep")
    return _decode(text)


def nesting(text: str) -> int:
    """Return how many lists and objects lie within each other in a JSON text. No Python code runs for each bracket."""
    return max(accumulate(map(_STEPS.__getitem__, _NO_BRACKETS.sub("", text))), default=0)


def short(text: str) -> str:
    """Return `text` as `repr` shows it, cut to `SHOWN_CHARS_MAX` characters."""
    return repr(text) if len(text) <= SHOWN_CHARS_MAX else f"{text[:SHOWN_CHARS_MAX]!r}… ({len(text):,} characters)"


class NotJSON(TypeError):
    """A value that JSON cannot hold, or would not give back as it was."""


def canonical(value: Any, name: str) -> str:
    """Return `value` as canonical JSON text. `name` stands for it in errors: ``t.state['prices'] is a set, …``."""
    return _checked(value, name, encode)


def in_order(value: Any, name: str) -> str:
    """Return `value` as JSON text whose keys stand as they were put in: for what people look at, such as a result."""
    return _checked(value, name, _encode_in_order)


def _checked(value: Any, name: str, encode: Callable[[Any], str]) -> str:
    if type(value) is str:
        check_text(value, name)
        return encode(value)
    try:
        text = encode(value)
        if not _has_text_keys(value):
            raise NotJSON
        text.encode()
        if text.count("[") + text.count("{") > NESTING_MAX and nesting(text) > NESTING_MAX:
            raise NotJSON(f"{name} is nested more than {NESTING_MAX} levels deep")
    except (TypeError, ValueError, RecursionError) as error:
        raise NotJSON(_explain(value, name, ()) or f"{name} is not JSON: {error}") from None
    return text


def check_text(text: str, name: str) -> None:
    """Refuse text with lone surrogates, which UTF-8 cannot carry."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise NotJSON(
            f"{name} has half a character (a lone surrogate, U+{ord(text[error.start]):04X}) at index {error.start}: "
            f"decode bytes with errors='replace'"
        ) from None


def _has_text_keys(value: Any) -> bool:
    """True if all keys at any depth are strings. Looks at types in bulk: it runs in every turn."""
    if type(value) not in _CONTAINERS:
        return not isinstance(value, _CONTAINERS) or _explain(value, "", ()) is None
    pending: list[Any] = [value]
    for container in pending:
        values = container
        if isinstance(container, dict):
            if not {str}.issuperset(map(type, container)) and not all(isinstance(key, str) for key in container):
                return False
            values = container.values()
        kinds = set(map(type, values))
        if not _LEAVES.issuperset(kinds):
            pending.extend(item for item in values if isinstance(item, _CONTAINERS))
    return True


_LEAVES = frozenset((str, int, float, bool, type(None)))


def _explain(value: Any, name: str, above: tuple[int, ...]) -> str | None:
    """Find the first part of `value` that is not JSON and say so by its path; None if there is none."""
    if value is None or isinstance(value, bool | int):
        return None
    if isinstance(value, str):
        try:
            check_text(value, name)
        except NotJSON as error:
            return str(error)
        return None
    if isinstance(value, float):
        return None if value - value == 0 else f"{name} is {value}, which JSON has no word for"
    if id(value) in above:
        return f"{name} contains itself"
    if len(above) > 100:
        return f"{name} is nested more deeply than 100 levels"
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                return f"{name} has the key {key!r} ({_a(key)}), and JSON knows only strings as keys: use {str(key)!r}"
            problem = _explain(key, f"a key of {name}", ()) or _explain(item, f"{name}[{key!r}]", (*above, id(value)))
            if problem:
                return problem
        return None
    if isinstance(value, list | tuple):
        for index, item in enumerate(value):
            problem = _explain(item, f"{name}[{index}]", (*above, id(value)))
            if problem:
                return problem
        return None
    kinds = "None, bool, int, float, str, list or dict"
    return f"{name} is {_a(value)}, which is not a JSON value: use {kinds}{_advice(value)}"


def _a(value: object) -> str:
    kind = type(value).__name__
    return f"an {kind}" if kind[:1].lower() in "aeiou" else f"a {kind}"


def _advice(value: object) -> str:
    if isinstance(value, set | frozenset):
        return " (a set as sorted(value))"
    if isinstance(value, bytes | bytearray):
        return " (bytes as value.hex())"
    return ""
