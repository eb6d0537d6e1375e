"""The tokenizer: byte-level BPE, learned from the generator's text, with every digit a token of its own
(and the space before it)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from training.demo.dialogue import dialogue

UNKNOWN: Final = "<unk>"
BEGIN: Final = "<s>"
END: Final = "</s>"
UNKNOWN_ID, BEGIN_ID, END_ID = 0, 1, 2
VOCABULARY_SIZE: Final = 1024
DIALOGUES: Final = 4000


def train_tokenizer(first_seed: int) -> Tokenizer:
    """Learn the merges from `DIALOGUES` conversations. The same seeds give the same tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    digits = pre_tokenizers.Split(Regex(" ?[0-9]"), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=[UNKNOWN, BEGIN, END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(first_seed), trainer)
    return tokenizer


def _texts(first_seed: int) -> Iterator[str]:
    for seed in range(first_seed, first_seed + DIALOGUES):
        made = dialogue(seed)
        lines = "".join(f"{line.speaker}: {line.text}\n" for line in made.lines)
        yield made.header(made.seller) + lines
        yield made.header(made.buyer)
