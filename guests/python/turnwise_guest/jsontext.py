"""JSON values as one canonical text, and clear words about values that are none.

Canonical means: the same value gives the same bytes (keys sorted, no spaces, no escapes but those that JSON needs).
What the standard encoder would change in silence is refused here: a key that is not a string would come back as one
in the next turn, and the agent would look for 5 where there is "5".
"""

from __future__ import annotations

import json
from typing import Any

_CONTAINERS = (dict, list, tuple)
encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode
"""Canonical text of what is known to be JSON."""


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


decode = json.JSONDecoder(parse_constant=_refuse).decode
"""The value of a JSON text. Raises `ValueError`, also for NaN and infinities, which Python otherwise lets through."""


class NotJSON(TypeError):
    """A value that JSON cannot hold, or would not give back as it was."""


def canonical(value: Any, name: str) -> str:
    """Return `value` as canonical JSON text. `name` stands for it in errors: ``t.state['prices'] is a set, …``."""
    if type(value) is str:
        check_text(value, name)
        return encode(value)
    try:
        text = encode(value)
        if not _has_text_keys(value):
            raise NotJSON
        text.encode()
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
