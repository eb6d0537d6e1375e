"""One text for one value, and one hash for one sequence of texts.

Whatever is compared or hashed is first brought into one form: JSON with sorted keys, no spaces, no escapes that are
not needed, and no NaN. The form is part of the journal's format: a change here changes every head.
"""

from __future__ import annotations

import hashlib
import json
from json.encoder import encode_basestring
from typing import Any, Final

from turnwise.core.json_text import integer_text

_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
_IN_ORDER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def canonical(value: Any) -> str:
    """The canonical JSON text of a value made of dicts with text keys, lists, texts, numbers, booleans and None.

    Keys are sorted by code point; `1` and `1.0` stay different. The result can always be encoded as UTF-8. Raises
    ValueError for what has no such text: NaN and infinities, types that JSON does not know, keys that cannot be
    sorted, surrogates that stand alone, cycles, and nesting deeper than the interpreter's stack allows.
    """
    return _text(value, _ENCODER)


def in_order(value: Any) -> str:
    """The canonical JSON text of a value but for its keys, which keep their order: for what people look at.

    Raises ValueError as `canonical` does.
    """
    return _text(value, _IN_ORDER)


def _text(value: Any, encoder: json.JSONEncoder) -> str:
    try:
        text = encoder.encode(value)
    except TypeError as error:
        raise ValueError(f"not a JSON value: {error}") from error
    except RecursionError as error:
        raise ValueError("not a JSON value: nested too deeply") from error
    except ValueError as error:  # perhaps only since the interpreter is set to write short whole numbers
        try:
            text = _with_long_integers(value, encoder)
        except ValueError:
            raise error from None
    if not text.isascii():
        text.encode()  # raises UnicodeEncodeError, a ValueError, for a surrogate that stands alone
    return text


def _with_long_integers(value: Any, encoder: json.JSONEncoder) -> str:
    """The same text as `encoder` makes, where the interpreter is set to write short whole numbers only."""
    if type(value) is int:
        return integer_text(value)
    try:
        if isinstance(value, dict):
            keys = sorted(value) if encoder.sort_keys else value
            members = [f"{encode_basestring(key)}:{_with_long_integers(value[key], encoder)}" for key in keys]
            return "{" + ",".join(members) + "}"
        if isinstance(value, list | tuple):
            return "[" + ",".join([_with_long_integers(item, encoder) for item in value]) + "]"
    except RecursionError as error:
        raise ValueError("not a JSON value: nested too deeply") from error
    return encoder.encode(value)


def digest(*parts: bytes | bytearray | memoryview) -> bytes:
    """SHA-256 (32 bytes) over the parts, each after its length as 8 bytes little endian.

    The lengths make the boundaries part of what is hashed: `digest(b"ab", b"c")` is not `digest(b"a", b"bc")`.
    """
    state = hashlib.sha256()
    for part in parts:
        size = part.nbytes if isinstance(part, memoryview) else len(part)
        state.update(size.to_bytes(8, "little"))
        state.update(part)
    return state.digest()
