"""Control tokens: the tokens by which a model's conversations are structured.

A tokenizer flags most of them as special. Some models have control tokens without that flag, such as DeepSeek's role
markers: their text is then shown to readers, but a message must be able to forge them no more than the others. So an
added token is a control token if it is flagged, if the model's chat template writes it, or if it has the form
`<|…|>`, which templates put together from parts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection

import tokenizers

_PIPED = re.compile(r"<[|\uff5c].+[|\uff5c]>", re.DOTALL)


def control_tokens(inner: tokenizers.Tokenizer, template: str | None) -> frozenset[int]:
    """Return the control tokens that are not flagged as special. `template` is the source of the chat template."""
    return frozenset(
        number
        for number, token in inner.get_added_tokens_decoder().items()
        if not token.special and _is_control(str(token.content), template or "")
    )


def _is_control(text: str, template: str) -> bool:
    return not text.isspace() and (text in template or _PIPED.fullmatch(text) is not None)


def flagged_special(inner: tokenizers.Tokenizer, numbers: Collection[int]) -> tokenizers.Tokenizer:
    """A copy of the tokenizer that flags these added tokens as special, so that it can be told to ignore them."""
    content = json.loads(inner.to_str())
    for token in content["added_tokens"]:
        token["special"] = token["special"] or token["id"] in numbers
    copy = tokenizers.Tokenizer.from_str(json.dumps(content))
    copy.no_truncation()
    copy.no_padding()
    return copy
