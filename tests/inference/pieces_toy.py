"""A tokenizer of pieces with a token for each byte, as SentencePiece makes them, for a clone without story models."""

from __future__ import annotations

import tokenizers
from tokenizers import decoders, models, normalizers, processors

UNKNOWN, BOS, END, BYTES_FROM = 0, 1, 2, 3
LETTERS = "\u2581abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,!?"
WORDS = ("Once", "upon", "a", "time", "there", "was", "the", "girl", "ha", "S", "w")


def piece_tokenizer() -> tokenizers.Tokenizer:
    """A BPE of words with a leading space, whose post-processor puts `<s>` in front; other characters are bytes."""
    vocabulary = {"<unk>": UNKNOWN, "<s>": BOS, "</s>": END}
    vocabulary |= {f"<0x{byte:02X}>": byte + BYTES_FROM for byte in range(256)}
    merges: list[tuple[str, str]] = []
    for letter in LETTERS:
        vocabulary[letter] = len(vocabulary)
    for word in WORDS:
        piece = "\u2581"
        for letter in word:
            if piece + letter not in vocabulary:
                merges.append((piece, letter))
                vocabulary[piece + letter] = len(vocabulary)
            piece += letter
    model = models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", BOS)]
    )
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    return tokenizer
