"""Tokens per second of the inference engine beside onnxruntime-genai and llama.cpp, on the same 4-bit weights.

    python benchmarks/bench_inference.py --folder FOLDER [--llama-server PATH] [--only PART,…] [--engines ENGINE,…]
        [--forms FORM;…] [--repeats N] [--threads 2] [--block 128] [--sleep] [--quick]
    python benchmarks/bench_inference.py --table RESULTS…

The model has the shape of Qwen2.5-0.5B and random weights; it is made once, in a minute, and kept in the folder (4 GB
while it is made, then 0.6; 5 GB with all forms of `reproducible`). A run takes up to 8 GB of memory, most of it for
onnxruntime-genai, which gives logits of all positions of a batch. Scales are for 32 weights each, or for 128 with
`--block 128`; llama.cpp's blocks are always of 32, so four then have the same scale. `--quick` takes a toy shape and
short prompts, to try out the script: its figures mean nothing. `--model FOLDER` takes a given folder instead, whose
tokens are words `t0`, `t1`, …, with ours alone. Besides the project's own dependencies, the benchmark needs

    pip install torch==2.13.0 transformers onnxruntime-genai onnx gguf llama-cpp-python

and a binary of llama-server; what is missing is left out, with a line that says so. The parts:

- `one_stream`: a prompt of 512 tokens, 64 new.
- `agents`: 16 prompts with a common prefix of 512 tokens and 64 of their own, 32 new each, until all have finished.
- `decode_16`: 16 prompts of 64 tokens, 32 new each; the rate while all of them generate.
- `mixed`: 16 prompts of 32 to 1,024 tokens at once, 32 new each.
- `conversation`: 16 prompts of 64 tokens, 32 new each, and two more turns of 64 tokens after the answers.
- `reproducible`: one stream, agents and conversation again, with odd numbers of tokens, beside the same engine without
  what makes its answers reproducible: padding to even numbers, the rule for single tokens, and reuse of nothing but
  prompts. For several forms of the weights. `costs`: ratios of the times, greater than 1 where it is slower; `cpu_s`
  are the seconds of all threads together.
- `overhead`: a step of the engine beside a bare ONNX Runtime loop (see `bench_engine.py`), for this model and for
  `--small FOLDER`, a small one (default: the model that comes with the package).

The engines, each greedy and with as many threads: `ours` (cold prompt cache every time; its threads poll for a moment
while they wait, as those of the others do, or sleep with `--sleep`); `genai`, onnxruntime-genai's generator (a batch
where prompts are equally long, else one after the other) and `genai_rewind`, which goes back to the common prefix by
hand; llama.cpp's batch interface as `llama_copies` (prefix copied to all sequences by hand; a KV cache for each
sequence), `llama_copies_unified` (one cache, in which copies share cells) and `llama_slots` (prompts and decoding in
one batch); `llama_sequential` (what llama-cpp-python's server does: one request after the other, which keeps the common
prefix); and llama-server, asked over HTTP, with a KV cache for each slot (`llama_server`), with one for all
(`llama_server_unified`), and with slots that were filled with the common prefix by hand (`llama_server_primed`).

All engines run alternately, and each line is one JSON object. A line with `engine` holds medians and `spread` (least
and greatest): seconds in all, time to the first token (median and greatest of the prompts), tokens per second of
prefill (one stream) and decoding. A line with `beside` holds the median and spread of the ratios of neighbouring
measurements: greater than 1 where ours is faster. `load` is the machine's load average, least and greatest: on a
machine that does something else the figures say little, least of all about engines whose threads spin. Tables of all
results come at the end, on the standard error stream; `--table` makes them of the lines of several runs.

Every answer is checked: the number of tokens, and that ours are the same in every repetition. `first_tokens_equal`
counts prompts to which an engine chooses the same first token as ours.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from inference.compare import Report, processor
from inference.models import BLOCKS
from inference.parts import Parts
from inference.peers import ENGINES, Given, Made, Peers
from inference.table import tables
from inference.work import MEASURED

import turnwise

PACKAGES = ("onnxruntime", "onnxruntime-genai", "llama-cpp-python", "numpy", "torch", "transformers", "gguf")
REPEATS = {
    "one_stream": 5,
    "agents": 3,
    "decode_16": 5,
    "mixed": 3,
    "conversation": 3,
    "reproducible": 4,
    "overhead": 3,
}
BUNDLED = Path(turnwise.__file__).parent / "demo" / "model"


def main() -> int:
    options = arguments()
    if options.table:
        lines = [json.loads(line) for path in options.table for line in path.read_text(encoding="utf-8").splitlines()]
        print(tables(lines))
        return 0
    report = Report()
    model = Given(options.model) if options.model else Made(options.folder, options.quick, options.block)
    spin_us = 0 if options.sleep else None
    peers = Peers(model, report, options.threads, spin_us, options.llama_server)
    repeats = {part: options.repeats or (1 if options.quick else count) for part, count in REPEATS.items()}
    parts = Parts(model, peers, report, repeats, options.threads, spin_us, options.quick)
    report(
        shape=model.name,
        threads=options.threads,
        sleep=options.sleep,
        block=None if options.model else options.block,
        machine=f"{processor()}, {os.cpu_count()} cores, {platform.system()}",
        versions=_versions(),
    )
    for part in options.only:
        if part in MEASURED:
            parts.compare(part, options.engines)
            continue
        peers.release()
        if part == "reproducible":
            parts.reproducible(options.forms)
        else:
            parts.overhead(options.small or (BUNDLED if BUNDLED.exists() else None))
    peers.release()
    print(tables(report.lines), file=sys.stderr)
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--folder", type=Path, help="where the models are kept")
    where.add_argument("--model", type=Path, help="a model folder whose tokens are words t0, t1, …: ours alone")
    where.add_argument("--table", type=Path, nargs="+", help="make tables of results")
    parser.add_argument("--llama-server", type=Path, help="the binary of llama.cpp's server")
    parser.add_argument("--small", type=Path, help="a small model, for the overhead")
    parser.add_argument("--quick", action="store_true", help="a toy shape: try out the script")
    parser.add_argument("--repeats", type=int, help=f"default: {REPEATS}; 1 with --quick")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sleep", action="store_true", help="let our threads sleep while they wait")
    parser.add_argument("--block", type=int, choices=BLOCKS, default=BLOCKS[0], help="weights of one scale")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(REPEATS), help="parts")
    parser.add_argument("--engines", type=lambda text: text.split(","), default=list(ENGINES))
    parser.add_argument("--forms", type=lambda text: text.split(";"), help="of `reproducible`, between semicolons")
    options = parser.parse_args()
    if unknown := {*options.only, *options.engines} - {*REPEATS, *ENGINES, "ours"}:
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    options.engines = [] if options.model else [name for name in ENGINES if name in options.engines]
    return options


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


if __name__ == "__main__":
    sys.exit(main())
