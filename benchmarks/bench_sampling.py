"""Microseconds to choose a token from logits, beside the same definition written without any short cut.

    python benchmarks/bench_sampling.py [--vocabulary 151936] [--rows 1,16] [--repeats 30]

Each line is one JSON object: `ours_us`, `two_us` (on two threads) and `plain_us` are medians for all rows, with
quartiles. They take turns, and all tokens are compared: for flat logits and peaked ones, greedy and by temperature,
with penalties, and under masks of a grammar.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from turnwise.inference.requests.generate_request import Sampling
from turnwise.inference.sampling.changes import Changes, LogitsProcessor
from turnwise.inference.sampling.choices import TokenChoice, make_choices
from turnwise.inference.sampling.choose import uniform

SAMPLINGS = {
    "greedy": Sampling(),
    "temperature": Sampling(0.8),
    "top_k": Sampling(0.8, top_k=50),
    "top_p": Sampling(0.8, top_p=0.95),
    "top_k, top_p": Sampling(0.8, top_k=50, top_p=0.95),
    "min_p": Sampling(0.8, min_p=0.05),
    "greedy, penalties": Sampling(repetition_penalty=1.1, presence_penalty=0.2),
    "top_k, penalties": Sampling(0.8, top_k=50, repetition_penalty=1.1, presence_penalty=0.2),
}
HELD = 600
"""Tokens that the prompt of each row holds."""


def plain(
    logits: NDArray[np.float32],
    sampling: Sampling,
    stream: bytes,
    index: int,
    allowed: NDArray[np.bool_] | None,
    changes: Changes | None,
) -> int:
    """What `choose` is defined to be."""
    ids = np.arange(len(logits)) if allowed is None else np.flatnonzero(allowed)
    wide = logits.astype(np.float64) if changes is None else changes.applied(logits)
    wide = wide[ids]
    if sampling.temperature == 0.0:
        return int(ids[wide.argmax()])
    if sampling.top_k is not None and sampling.top_k < len(ids):
        places = np.sort(np.argsort(-wide, kind="stable")[: sampling.top_k])
        ids, wide = ids[places], wide[places]
    weights = np.exp((wide - wide.max()) / sampling.temperature)
    if sampling.top_p is not None:
        order = np.argsort(-weights, kind="stable")
        wanted = sampling.top_p * np.cumsum(weights)[-1]
        places = np.sort(order[: int(np.searchsorted(np.cumsum(weights[order]), wanted)) + 1])
        ids, weights = ids[places], weights[places]
    if sampling.min_p is not None:
        places = np.flatnonzero(weights >= sampling.min_p)
        ids, weights = ids[places], weights[places]
    sums = np.cumsum(weights)
    place = int(np.searchsorted(sums, uniform(stream, index) * sums[-1], side="right"))
    return int(ids[min(place, len(ids) - 1)])


def measure(logits: NDArray[np.float32], sampling: Sampling, mask: NDArray[np.bool_] | None, repeats: int) -> Any:
    """Times of all rows, one after the other, as the engine does it."""
    times: dict[str, list[float]] = {"ours": [], "two": [], "plain": []}
    streams = [bytes([row]) * 32 for row in range(len(logits))]
    held = np.random.default_rng(1).integers(0, logits.shape[1], HELD).tolist()
    processor = LogitsProcessor(sampling, held)
    processor.push(held[0])

    def asked(index: int) -> list[TokenChoice]:
        return [
            TokenChoice(row, sampling, stream, index, mask, processor.changes(row))
            for row, stream in zip(logits, streams, strict=True)
        ]

    ways: dict[str, Callable[[int], list[Any]]] = {
        "ours": lambda index: make_choices(asked(index), 1),
        "two": lambda index: make_choices(asked(index), 2),
        "plain": lambda index: [
            plain(one.logits, sampling, one.stream, index, mask, one.changes) for one in asked(index)
        ],
    }
    for index in range(repeats):
        chosen = {}
        for name, way in ways.items():
            began = time.perf_counter()
            chosen[name] = way(index)
            times[name].append((time.perf_counter() - began) * 1e6)
        if not chosen["ours"] == chosen["two"] == chosen["plain"]:
            raise SystemExit(f"{sampling} chose {chosen}")
    found: dict[str, Any] = {}
    for name, values in times.items():
        low, middle, high = statistics.quantiles(values, n=4)
        found |= {f"{name}_us": round(middle), f"{name}_us_spread": [round(low), round(high)]}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocabulary", type=int, default=151_936)
    parser.add_argument("--rows", default="1,16")
    parser.add_argument("--repeats", type=int, default=30)
    arguments = parser.parse_args()
    random = np.random.default_rng(0)
    size = arguments.vocabulary
    masks = {"none": None, "half": random.random(size) < 0.5, "few": random.random(size) < 20 / size}
    masks["few"][:3] = True
    for rows in (int(item) for item in arguments.rows.split(",")):
        flat = random.standard_normal((rows, size)).astype(np.float32)
        for shape, logits in (("peaked", flat * 2 + 12 * (random.random((rows, size)) < 100 / size)), ("flat", flat)):
            for name, sampling in SAMPLINGS.items():
                for kind, mask in masks.items():
                    found = measure(logits.astype(np.float32), sampling, mask, arguments.repeats)
                    print(json.dumps({"rows": rows, "logits": shape, "way": name, "grammar": kind} | found), flush=True)


if __name__ == "__main__":
    main()
