"""Microseconds to choose a token from logits, beside the same definition written without any short cut.

    python benchmarks/bench_sampling.py [--vocabulary 151936] [--rows 1,16] [--repeats 30]

Each line is one JSON object: `ours_us` and `plain_us` are medians for all rows, with quartiles. They take turns, and
all tokens are compared: for flat logits and peaked ones, greedy and by temperature, and under masks of a grammar.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from turnwise.inference.requests.generate_request import Sampling
from turnwise.inference.sampling.choose import choose, uniform

SAMPLINGS = {
    "greedy": Sampling(),
    "temperature": Sampling(0.8),
    "top_k": Sampling(0.8, top_k=50),
    "top_p": Sampling(0.8, top_p=0.95),
    "top_k, top_p": Sampling(0.8, top_k=50, top_p=0.95),
    "min_p": Sampling(0.8, min_p=0.05),
}


def plain(
    logits: NDArray[np.float32], sampling: Sampling, stream: bytes, index: int, allowed: NDArray[np.bool_] | None
) -> int:
    """What `choose` is defined to be."""
    ids = np.arange(len(logits)) if allowed is None else np.flatnonzero(allowed)
    wide = logits[ids].astype(np.float64)
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
    times: dict[str, list[float]] = {"ours": [], "plain": []}
    streams = [bytes([row]) * 32 for row in range(len(logits))]
    for index in range(repeats):
        began = time.perf_counter()
        ours = [choose(row, sampling, stream, index, mask) for row, stream in zip(logits, streams, strict=True)]
        between = time.perf_counter()
        theirs = [plain(row, sampling, stream, index, mask) for row, stream in zip(logits, streams, strict=True)]
        times["plain"].append((time.perf_counter() - between) * 1e6)
        times["ours"].append((between - began) * 1e6)
        if ours != theirs:
            raise SystemExit(f"{sampling} chose {ours}, by definition it is {theirs}")
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
