"""Conversations as token ids, and what is learned of them: the reader's own lines, and not the other's.

After each own line the model learns to end, though the conversation goes on: it is asked for one line at a time. The
digits of prices weigh more than words, since many words would do, but hardly another price.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

import torch
from tokenizers import Tokenizer
from torch import Tensor

from training.demo.dialogue import Dialogue, Person, dialogue
from training.demo.tokenizer import BEGIN_ID, END_ID

POOL_BATCHES: Final = 64
"""Batches are cut from so many batches' worth of views, sorted by length, so that little is padded."""


DIGIT_WEIGHT: Final = 5.0


@dataclass(frozen=True, slots=True)
class View:
    """A conversation as one of the two sees it. `targets[i]` is to be learned after `ids[i]`, None for nothing."""

    ids: list[int]
    targets: list[int | None]


@dataclass(frozen=True, slots=True)
class Batch:
    """Views side by side, [batch, length]: what is read, and at `places` of it, flattened, what is learned."""

    tokens: Tensor
    places: Tensor
    targets: Tensor
    weights: Tensor


class Data:
    """Makes views and batches with one tokenizer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        size = tokenizer.get_vocab_size()
        self._digits = {number for number in range(size) if tokenizer.decode([number]).strip().isdigit()}

    def views(self, first: int, count: int) -> Iterator[View]:
        """Both views of `count` conversations from seed `first` on."""
        for seed in range(first, first + count):
            made = dialogue(seed)
            for person in (made.seller, made.buyer):
                yield self.view(made, person)

    def view(self, made: Dialogue, person: Person) -> View:
        """What `person` reads and says."""
        text = made.header(person)
        own: list[tuple[int, int]] = []  # from and to which character
        for line in made.lines:
            text += f"{line.speaker}:"
            if line.speaker == person.name:
                own.append((len(text), len(text) + len(line.text) + 2))
            text += f" {line.text}\n"
        encoded = self._tokenizer.encode(text)
        targets: list[int | None] = [None]
        for token, (low, high) in zip(encoded.ids, encoded.offsets, strict=True):
            place = next((place for place in own if place[0] <= low and high <= place[1]), None)
            if place is not None:
                targets[-1] = token
            targets.append(END_ID if place is not None and high == place[1] else None)
        return View([BEGIN_ID, *encoded.ids], targets)

    def batches(self, first: int, count: int, size: int) -> Iterator[Batch]:
        """`count` batches of `size` views each, in an order that the seeds decide."""
        chance = Random(first)
        made = 0
        while made < count:
            wanted = min(POOL_BATCHES, count - made)
            conversations = (wanted * size + 1) // 2
            pool = sorted(self.views(first, conversations), key=lambda view: len(view.ids))
            first += conversations
            cut = [pool[start * size : (start + 1) * size] for start in range(wanted)]
            chance.shuffle(cut)
            yield from map(self._batch, cut)
            made += wanted

    def _batch(self, rows: list[View]) -> Batch:
        """Views padded on the right to the length of the longest."""
        length = max(len(row.ids) for row in rows)
        tokens = torch.zeros(len(rows), length, dtype=torch.long)
        learned: list[tuple[int, int]] = []
        for number, row in enumerate(rows):
            tokens[number, : len(row.ids)] = torch.tensor(row.ids)
            places = enumerate(row.targets, number * length)
            learned += [(place, target) for place, target in places if target is not None]
        targets = [target for _, target in learned]
        weights = [DIGIT_WEIGHT if target in self._digits else 1.0 for target in targets]
        return Batch(
            tokens, torch.tensor([place for place, _ in learned]), torch.tensor(targets), torch.tensor(weights)
        )
