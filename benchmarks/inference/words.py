"""The benchmark's tokenizer: a word for each id, so that prompts of exactly these tokens can be written as text."""

from __future__ import annotations

import tokenizers


def words(vocabulary: int) -> tokenizers.Tokenizer:
    known = {f"t{number}": number for number in range(vocabulary)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(known, "t0"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    return tokenizer
