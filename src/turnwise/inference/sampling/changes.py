"""Changes that penalties and a bias make of logits: few of many, so only these are computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from turnwise.inference.requests.generate_request import Sampling


@dataclass(frozen=True, slots=True)
class Changes:
    """Logits of `ids` (rising, at least one) are `values` instead of what the model gave."""

    ids: NDArray[np.intp]
    values: NDArray[np.float64]

    def has(self, token: int) -> bool:
        """Return True if the logit of a token is changed."""
        place = int(np.searchsorted(self.ids, token))
        return place < len(self.ids) and int(self.ids[place]) == token

    def applied(self, logits: NDArray[Any], ids: NDArray[np.intp] | None = None) -> NDArray[np.float64]:
        """Return logits in float64 with the changes: of the whole vocabulary, or of `ids` (rising)."""
        wide = logits.astype(np.float64)
        if ids is None:
            wide[self.ids] = self.values
        elif len(ids):
            places = np.minimum(np.searchsorted(ids, self.ids), len(ids) - 1)
            there = ids[places] == self.ids
            wide[places[there]] = self.values[there]
        return wide


class LogitsProcessor:
    """Finds what the penalties and the bias of one generation change, by its tokens so far."""

    def __init__(self, sampling: Sampling, prompt: Sequence[int]) -> None:
        self._sampling = sampling
        self._penalties = sampling.repetition_penalty != 1.0 or sampling.presence_penalty != 0.0
        self._answer: set[int] = set()
        seen = sorted(set(prompt)) if sampling.repetition_penalty != 1.0 else []
        self._seen = np.array(seen, np.intp)
        self._told = self._seen[:0]
        self._bias_ids = np.array([token for token, _ in sampling.bias], np.intp)
        self._bias = np.array([number for _, number in sampling.bias], np.float64)
        self._ids = np.array(sorted({*seen, *(token for token, _ in sampling.bias)}), np.intp)

    def push(self, token: int) -> None:
        """Take a token of the answer."""
        if not self._penalties or token in self._answer:
            return
        self._answer.add(token)
        self._told = _with(self._told, token)
        self._seen = _with(self._seen, token)
        self._ids = _with(self._ids, token)

    def changes(self, logits: NDArray[Any]) -> Changes | None:
        """Return what is changed of logits (shape [vocabulary]); None if nothing is."""
        sampling = self._sampling
        if not len(self._ids):
            return None
        values = logits[self._ids].astype(np.float64)
        if sampling.repetition_penalty != 1.0:
            places, penalty = np.searchsorted(self._ids, self._seen), sampling.repetition_penalty
            held = values[places]
            values[places] = np.where(held > 0.0, held / penalty, held * penalty)
        if sampling.presence_penalty != 0.0:
            values[np.searchsorted(self._ids, self._told)] -= sampling.presence_penalty
        values[np.searchsorted(self._ids, self._bias_ids)] += self._bias
        return Changes(self._ids, values)

    def apply(self, logits: NDArray[Any]) -> NDArray[Any]:
        """Change logits (shape [vocabulary]): float64 if there is anything to change, else the same array."""
        changes = self.changes(logits)
        return logits if changes is None else changes.applied(logits)


def _with(ids: NDArray[np.intp], token: int) -> NDArray[np.intp]:
    """Rising ids with one more, which may be among them already."""
    place = int(np.searchsorted(ids, token))
    return ids if place < len(ids) and int(ids[place]) == token else np.insert(ids, place, token)
