"""Reading JSON so that the answer depends on the text alone.

Two things of an interpreter could reach an outcome through its JSON decoder: how many digits it converts
(`PYTHONINTMAXSTRDIGITS`, `sys.set_int_max_str_digits`) and how deep its stack goes. Both are bounded here, by numbers
that are the same everywhere.
"""

from __future__ import annotations

import json
from typing import Any, Final

INTEGER_DIGITS_MAX: Final = 4300
"""Digits of one whole number. What CPython allows where nobody has set anything else, so older runs had the same."""
_CHUNK_DIGITS: Final = 512
"""Digits that every interpreter converts at once: no setting can be below 640."""
_CHUNK: Final = 10**_CHUNK_DIGITS
_CONTAINERS: Final = frozenset({dict, list})


class NestedTooDeeplyError(ValueError):
    """A text whose lists and objects are nested deeper than is allowed."""


def decode(text: str, nesting_max: int | None = None) -> Any:
    """The value of a JSON text. Of a key that is there twice, the last one counts.

    Raises ValueError for what is not JSON, NaN and infinities, whole numbers of more than `INTEGER_DIGITS_MAX` digits,
    and (`NestedTooDeeplyError`) for what is nested deeper than `nesting_max` levels, hidden in a repeated key or not.
    """
    if nesting_max is None or len(text) <= nesting_max or text.count("[") + text.count("{") <= nesting_max:
        return _decoded(text)
    repeated: list[bool] = []

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs):
            repeated.append(True)
        return value

    decoder = json.JSONDecoder(object_pairs_hook=members, parse_int=_integer, parse_constant=_refuse_constant)
    try:
        value = decoder.decode(text)
    except RecursionError:
        deep = _nesting(text) > nesting_max
        if not deep:
            raise
    else:
        deep = _nesting(text) > nesting_max if repeated else _deeper_than(value, nesting_max)
    if deep:
        raise NestedTooDeeplyError(f"nested deeper than {nesting_max} levels")
    return value


def integer_text(value: int) -> str:
    """A whole number in decimal, however long it is and whatever the interpreter's own limit."""
    sign, rest = ("-", -value) if value < 0 else ("", value)
    chunks: list[str] = []
    while rest >= _CHUNK:
        rest, chunk = divmod(rest, _CHUNK)
        chunks.append(f"{chunk:0{_CHUNK_DIGITS}}")
    return sign + str(rest) + "".join(reversed(chunks))


def _integer(text: str) -> int:
    if len(text) <= _CHUNK_DIGITS:
        return int(text)
    digits = text.lstrip("-")
    if len(digits) > INTEGER_DIGITS_MAX:
        raise ValueError(f"a whole number of {len(digits)} digits; at most {INTEGER_DIGITS_MAX} are allowed")
    value = 0
    for start in range(0, len(digits), _CHUNK_DIGITS):
        chunk = digits[start : start + _CHUNK_DIGITS]
        value = value * 10 ** len(chunk) + int(chunk)
    return -value if text.startswith("-") else value


def _refuse_constant(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON number")


_decoder = json.JSONDecoder(parse_int=_integer, parse_constant=_refuse_constant)
_scan: Final = _decoder.scan_once  # type: ignore[attr-defined]
_scan_short: Final = json.JSONDecoder(parse_constant=_refuse_constant).scan_once  # type: ignore[attr-defined]
"""Scans what is too short to hold a number that some interpreter would not convert by itself."""


def _decoded(text: str) -> Any:
    """The value of a text that is not nested deeply. White space around it, and what is no JSON, takes the long way."""
    try:
        value, end = _scan_short(text, 0) if len(text) <= _CHUNK_DIGITS else _scan(text, 0)
    except StopIteration:
        return _decoder.decode(text)
    return value if end == len(text) else _decoder.decode(text)


def _deeper_than(value: object, levels: int) -> bool:
    """Return whether a value has more levels of lists and objects than that, without recursion."""
    layer: list[Any] = [value] if type(value) in _CONTAINERS else []
    for _ in range(levels):
        layer = [
            item
            for container in layer
            for item in (container.values() if type(container) is dict else container)
            if type(item) in _CONTAINERS
        ]
        if not layer:
            return False
    return bool(layer)


def _nesting(text: str) -> int:
    """The levels of a text, character by character: what a repeated key hides is counted as well."""
    depth = deepest = 0
    in_string = escaped = False
    for character in text:
        if in_string:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                in_string = False
        elif character == '"':
            in_string = True
        elif character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest
