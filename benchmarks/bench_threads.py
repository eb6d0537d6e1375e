"""A step of one sequence by how long threads poll, and before and after its memory lies on huge pages.

    python benchmarks/bench_threads.py MODEL [--threads 2] [--busy 0] [--repeats 7] [--steps 40]

All sides run in turn, and their logits must be the same bits. `--busy` starts processes that compute all the time
beside them. A JSON line a side: milliseconds of a step (median and quartiles), and of processor time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from turnwise.inference.decoding.decoder import Decoder
from turnwise.inference.engine.load import load_model
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.system.huge_pages import collapse_memory

POLLS_US = (0, 10, 20, 50, 1000)
PROMPT = range(100, 132)


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes that compute all the time."""
    with ExitStack() as stack:
        for _ in range(count):
            process = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            stack.callback(process.kill)
        yield


def steps(decoder: Decoder, count: int) -> tuple[float, float, NDArray[Any]]:
    """Milliseconds of a step, of its processor time, and the logits of the last one."""
    decoder.begin(len(PROMPT) + count)
    decoder.prefill(0, list(PROMPT))
    began, used = time.perf_counter(), time.process_time()
    for token in range(count):
        logits = decoder.decode([PROMPT[token % len(PROMPT)]])[0]
    each = 1000 / count
    return (time.perf_counter() - began) * each, (time.process_time() - used) * each, logits.copy()


def measure(decoders: dict[str, Decoder], count: int, repeats: int, expected: NDArray[Any] | None) -> NDArray[Any]:
    """Print a line for each decoder; return the logits that all of them gave."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in decoders}
    for _ in range(repeats):
        for name, decoder in decoders.items():
            wall_ms, cpu_ms, logits = steps(decoder, count)
            expected = logits if expected is None else expected
            if not np.array_equal(logits, expected):
                raise SystemExit(f"{name}: other logits")
            found[name].append((wall_ms, cpu_ms))
    for name, times in found.items():
        wall, cpu = zip(*times, strict=True)
        low, middle, high = statistics.quantiles(wall, n=4)
        line = {"side": name, "ms": round(middle, 3), "quartiles": [round(low, 3), round(high, 3)]}
        print(json.dumps({**line, "cpu_ms": round(statistics.median(cpu), 3)}), flush=True)
    if expected is None:
        raise SystemExit("nothing was measured")
    return expected


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--busy", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, default=40)
    chosen = parser.parse_args()
    decoders = {}
    for poll_us in POLLS_US:
        options = EngineOptions(threads_max=chosen.threads, spin_us=poll_us)
        model = load_model(ModelSpec("bench", chosen.model, "cpu"), options)
        decoders[f"{poll_us} us"] = model.decoder
    with busy(chosen.busy):
        logits = measure(
            {f"{name}, small pages": one for name, one in decoders.items()}, chosen.steps, chosen.repeats, None
        )
        collapsed = collapse_memory()
        print(json.dumps({"collapsed_mb": round(collapsed / 1e6)}), flush=True)
        measure({f"{name}, huge pages": one for name, one in decoders.items()}, chosen.steps, chosen.repeats, logits)


if __name__ == "__main__":
    main()
