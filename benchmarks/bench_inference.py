"""Tokens per second of the inference engine beside onnxruntime-genai and llama.cpp, on the same 4-bit weights.

    python benchmarks/bench_inference.py --folder FOLDER [--quick] [--repeats 3] [--threads 2] [--spin]
        [--only one_stream,agents,decode_16,mixed] [--engines ours,genai,...]

The model has the shape of Qwen2.5-0.5B and random weights; it is made once, in a minute, and kept in the folder (2.6 GB
while it is made, then 0.6). A run takes up to 8 GB of memory, most of it for onnxruntime-genai, which gives logits of
all positions of a batch. `--quick` takes a toy shape and short prompts, to try out the script: its figures mean
nothing. Besides the project's own dependencies, the benchmark needs

    pip install torch==2.13.0 transformers onnxruntime-genai onnx gguf llama-cpp-python

- `one_stream`: a prompt of 512 tokens, 64 new.
- `agents`: 16 prompts with a common prefix of 512 tokens and 64 of their own, 32 new each, until all have finished.
- `decode_16`: 16 prompts of 64 tokens, 32 new each; the rate while all of them generate.
- `mixed`: 16 prompts of 32 to 1,024 tokens, 32 new each.

The engines, each greedy and with as many threads: `ours` (cold prompt cache every time; its threads sleep while they
wait, unless `--spin`; those of the others spin); `genai`, onnxruntime-genai's generator (a batch where prompts are
equally long, else one after the other) and `genai_rewind`, which goes back to the common prefix by hand; llama.cpp's
batch interface as `llama_copies` (prefix copied to all sequences by hand; a KV cache for each sequence),
`llama_copies_unified` (one cache, in which copies share cells), `llama_slots` (what llama-server does: slots with
prompts of their own, prompts and decoding in one batch) and `llama_sequential` (what llama-cpp-python's server does:
one request after the other, which keeps the common prefix). llama-cpp-python's package has no llama-server.

All engines run alternately, and each line is one JSON object. A line with `engine` holds medians and `spread` (least
and greatest): seconds in all, time to the first token (median and greatest of the prompts), tokens per second of
prefill (one stream) and decoding. A line with `beside` holds the median and spread of the ratios of neighbouring
measurements: greater than 1 where ours is faster. `load` is the machine's load average, least and greatest: on a
machine that does something else the figures say little, least of all about engines whose threads spin.

Every answer is checked: the number of tokens, and that ours are the same in every repetition. `first_tokens_equal`
counts prompts to which an engine chooses the same first token as ours.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from inference.genai import Genai
from inference.llama import Llama, Weights
from inference.models import FULL, QUICK, Paths, make
from inference.ours import Ours
from inference.work import Answer, Run, Work, works

PACKAGES = ("onnxruntime", "onnxruntime-genai", "llama-cpp-python", "numpy", "torch", "transformers", "gguf")
TIMES = ("total_s", "first_s", "first_max_s")
MEASURES = {
    "one_stream": ("total_s", "first_s", "prefill_per_s", "decode_per_s"),
    "agents": ("total_s", "first_s", "first_max_s"),
    "decode_16": ("decode_per_s", "total_s"),
    "mixed": ("total_s", "first_s", "first_max_s"),
}


ENGINES = (
    "ours",
    "genai",
    "genai_rewind",
    "llama_copies",
    "llama_copies_unified",
    "llama_slots",
    "llama_sequential",
)


def main() -> int:
    options = arguments()
    shape = QUICK if options.quick else FULL
    paths = make(shape, options.folder)
    ours, engines = load(paths, options.threads, options.spin)
    report(
        shape=shape.name,
        threads=options.threads,
        spin=options.spin,
        repeats=options.repeats,
        numeric=ours.numeric.numeric_class if ours.numeric else None,
        machine=f"{processor()}, {os.cpu_count()} cores, {platform.system()}",
        versions={name: version(name) for name in PACKAGES},
    )
    for work in works(shape.vocabulary, 8 if options.quick else 1):
        if work.name in options.only:
            chosen = {name: run for name, run in engines.items() if name in options.engines and applies(name, work)}
            compare(work, chosen, options.repeats)
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--folder", type=Path, required=True, help="where the models are kept")
    parser.add_argument("--quick", action="store_true", help="a toy shape: try out the script")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--spin", action="store_true", help="let our threads poll while they wait")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(MEASURES))
    parser.add_argument("--engines", type=lambda text: text.split(","), default=list(ENGINES))
    options = parser.parse_args()
    if unknown := {*options.only, *options.engines} - {*MEASURES, *ENGINES}:
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    options.engines = ["ours", *options.engines]
    return options


def load(paths: Paths, threads: int, spin: bool) -> tuple[Ours, dict[str, Run]]:
    """All engines, each with what it can do."""
    ours, genai, weights = Ours(paths.genai, threads, spin), Genai(paths.genai, threads), Weights(paths.gguf)
    own, unified = Llama(weights, threads, unified=False), Llama(weights, threads, unified=True)
    runs = (
        ours.run,
        genai.run,
        genai.run_rewind,
        own.run_copies,
        unified.run_copies,
        own.run_slots,
        own.run_sequential,
    )
    return ours, dict(zip(ENGINES, runs, strict=True))


def applies(engine: str, work: Work) -> bool:
    """One way of each to run a single prompt, and no copies where nothing is in common."""
    if engine in ("ours", "genai", "llama_slots"):
        return True
    return bool(work.prefix) or (engine == "llama_sequential" and work.name == "mixed")


def compare(work: Work, engines: dict[str, Run], repeats: int) -> None:
    """Run all alternately, once to warm up on the first tokens, and report."""
    short = Work(work.name, tuple(prompt[:8] for prompt in work.prompts), 2, min(work.prefix, 4))
    for run in engines.values():
        run(short).check(short)
    answers: dict[str, list[Answer]] = {name: [] for name in engines}
    loads = [os.getloadavg()[0]]
    for number in range(repeats):
        for name, run in engines.items():
            answer = run(work)
            answer.check(work)
            answers[name].append(answer)
            print(f"{work.name} {number + 1}/{repeats} {name}: {answer.total_s:.4g} s", file=sys.stderr, flush=True)
            loads.append(os.getloadavg()[0])
    first = answers["ours"][0]
    if any(answer.tokens != first.tokens for answer in answers["ours"]):
        raise SystemExit(f"{work.name}: ours gives other tokens when it is repeated")
    load = [min(loads), max(loads)]
    values = {name: measure(work, those) for name, those in answers.items()}
    for name, those in answers.items():
        equal = sum(a[0] == b[0] for a, b in zip(first.tokens, those[0].tokens, strict=True))
        fields = {key: median_spread(numbers) for key, numbers in values[name].items()}
        report(bench=work.name, engine=name, **fields, first_tokens_equal=f"{equal}/{len(work.prompts)}", load=load)
    for name in engines:
        if name != "ours":
            report(bench=work.name, beside=name, **ratios(values["ours"], values[name]))


def measure(work: Work, answers: list[Answer]) -> dict[str, list[float]]:
    known: dict[str, Callable[[Answer], float]] = {
        "total_s": lambda answer: answer.total_s,
        "first_s": lambda answer: statistics.median(answer.first_s),
        "first_max_s": lambda answer: max(answer.first_s),
        "prefill_per_s": lambda answer: len(work.prompts[0]) / answer.first_s[0],
        "decode_per_s": lambda answer: answer.decode_per_s,
    }
    return {key: [known[key](answer) for answer in answers] for key in MEASURES[work.name]}


def ratios(ours: dict[str, list[float]], other: dict[str, list[float]]) -> dict[str, Any]:
    """By measure, greater than 1 where ours is faster."""
    found = {}
    for key, numbers in ours.items():
        pairs = zip(numbers, other[key], strict=True)
        found[key] = median_spread([b / a if key in TIMES else a / b for a, b in pairs])
    return found


def median_spread(numbers: list[float]) -> dict[str, Any]:
    rounded = [float(f"{number:.4g}") for number in numbers]
    return {"median": float(f"{statistics.median(numbers):.4g}"), "spread": [min(rounded), max(rounded)]}


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def report(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)


if __name__ == "__main__":
    sys.exit(main())
