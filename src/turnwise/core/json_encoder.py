"""An encoder of JSON that is made once.

`json.JSONEncoder.encode` makes its C encoder anew for each value, which takes longer than to encode a small one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from json import encoder
from typing import Any


def json_encoder(*, sort_keys: bool) -> Callable[[Any], str]:
    """Return a function from values to the texts that `json.JSONEncoder` makes of them: compact, not ASCII, no NaN.

    It does not look for cycles, which end in a RecursionError.
    """
    plain = json.JSONEncoder(
        ensure_ascii=False, sort_keys=sort_keys, separators=(",", ":"), allow_nan=False, check_circular=False
    )
    make = getattr(encoder, "c_make_encoder", None)
    if make is None:
        return plain.encode
    parts = make(None, plain.default, encoder.encode_basestring, None, ":", ",", sort_keys, False, False)

    def encode(value: Any) -> str:
        return "".join(parts(value, 0))

    return encode
