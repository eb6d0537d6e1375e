"""Tokens per second of the inference engine beside onnxruntime-genai and llama.cpp, on the same 4-bit weights.

    python benchmarks/bench_inference.py --folder FOLDER [--llama-server PATH] [--only PART,…] [--engines ENGINE,…]
        [--forms FORM;…] [--repeats N] [--threads 2] [--spin] [--quick]
    python benchmarks/bench_inference.py --table RESULTS…

The model has the shape of Qwen2.5-0.5B and random weights; it is made once, in a minute, and kept in the folder (4 GB
while it is made, then 0.6; 5 GB with all forms of `reproducible`). A run takes up to 8 GB of memory, most of it for
onnxruntime-genai, which gives logits of all positions of a batch. `--quick` takes a toy shape and short prompts, to
try out the script: its figures mean nothing. `--model FOLDER` takes a given folder instead, whose tokens are words
`t0`, `t1`, …, with ours alone. Besides the project's own dependencies, the benchmark needs

    pip install torch==2.13.0 transformers onnxruntime-genai onnx gguf llama-cpp-python

and a binary of llama-server; what is missing is left out, with a line that says so. The parts:

- `one_stream`: a prompt of 512 tokens, 64 new.
- `agents`: 16 prompts with a common prefix of 512 tokens and 64 of their own, 32 new each, until all have finished.
- `decode_16`: 16 prompts of 64 tokens, 32 new each; the rate while all of them generate.
- `mixed`: 16 prompts of 32 to 1,024 tokens at once, 32 new each.
- `conversation`: 16 prompts of 64 tokens, 32 new each, and two more turns of 64 tokens after the answers.
- `reproducible`: one stream, agents and conversation again, with odd numbers of tokens, beside the same engine without
  what makes its answers reproducible: padding to even numbers, the rule for single tokens, and reuse of nothing but
  prompts. For several forms of the weights. `costs`: ratios of the times, greater than 1 where it is slower.
- `overhead`: a step of the engine beside a bare ONNX Runtime loop (see `bench_engine.py`), for this model and for
  `--small FOLDER`, a small one (default: the model that comes with the package).

The engines, each greedy and with as many threads: `ours` (cold prompt cache every time; its threads sleep while they
wait, unless `--spin`; those of the others spin); `genai`, onnxruntime-genai's generator (a batch where prompts are
equally long, else one after the other) and `genai_rewind`, which goes back to the common prefix by hand; llama.cpp's
batch interface as `llama_copies` (prefix copied to all sequences by hand; a KV cache for each sequence),
`llama_copies_unified` (one cache, in which copies share cells) and `llama_slots` (prompts and decoding in one batch);
`llama_sequential` (what llama-cpp-python's server does: one request after the other, which keeps the common prefix);
and llama-server, asked over HTTP, with a KV cache for each slot (`llama_server`), with one for all
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
import gc
import json
import os
import platform
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import bench_engine
from inference.compare import Report, alternate, median_spread, numbers, processor, ratios
from inference.ours import Ours, load_ours
from inference.table import tables
from inference.unconstrained import Unconstrained, load_both
from inference.work import MEASURED, Answer, Run, Work, odd_works, turns, works

import turnwise
from turnwise.inference.load import LoadedModel
from turnwise.inference.model import EngineOptions

PACKAGES = ("onnxruntime", "onnxruntime-genai", "llama-cpp-python", "numpy", "torch", "transformers", "gguf")
REPEATS = {
    "one_stream": 5,
    "agents": 3,
    "decode_16": 5,
    "mixed": 3,
    "conversation": 3,
    "reproducible": 5,
    "overhead": 3,
}
ENGINES = (
    "genai",
    "genai_rewind",
    "llama_copies",
    "llama_copies_unified",
    "llama_slots",
    "llama_sequential",
    "llama_server",
    "llama_server_unified",
    "llama_server_primed",
)
BUNDLED = Path(turnwise.__file__).parent / "demo" / "model"


class Bench:
    """What is measured, and with what. Engines and models are loaded when they are first wanted, and kept."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self.report = Report()
        self._scale = 8 if options.quick else 1
        self._kept: dict[str, Any] = {}
        self._missing: set[str] = set()
        if options.model:
            config = json.loads((options.model / "genai_config.json").read_text(encoding="utf-8"))
            self.name, self._vocabulary = options.model.name, int(config["model"]["vocab_size"])
            self._folder, self._gguf = options.model, None
        else:
            from inference import models  # it needs packages that `--model` does without

            shape = models.QUICK if options.quick else models.FULL
            paths = models.make(shape, options.folder)
            self.name, self._vocabulary = shape.name, shape.vocabulary
            self._folder, self._gguf = paths.genai, paths.gguf
            self._forms = {
                form: (lambda form=form: models.make_form(shape, options.folder, form)) for form in models.FORMS
            } | {models.COMPARED: lambda: paths.genai}

    def compare(self, part: str) -> None:
        """All engines that can do this work, alternately."""
        work = next(work for work in works(self._vocabulary, self._scale) if work.name == part)
        engines: dict[str, Run] = {"ours": turns(self._once("ours", self._ours))}
        for name in self._options.engines:
            if applies(name, work) and (run := self._engine(name)) is not None:
                engines[name] = run
        found, load = alternate(work, engines, self._repeats(part), part)
        first = found["ours"][0]
        values = {name: numbers(work, those) for name, those in found.items()}
        for name, those in found.items():
            fields = {key: median_spread(these) for key, these in values[name].items()}
            equal = f"{_same_first(first, those[0])}/{len(work.prompts)}"
            self.report(bench=part, engine=name, **fields, first_tokens_equal=equal, load=load)
        for name in engines:
            if name != "ours":
                self.report(bench=part, beside=name, **ratios(values["ours"], values[name]))

    def reproducible(self) -> None:
        """The same engine with and without what makes it reproducible."""
        if self._options.model:
            forms: dict[str, Callable[[], Path]] = {"given": lambda: self._folder}
        else:
            forms = {form: self._forms[form] for form in self._options.forms or self._forms}
        for form, folder in forms.items():
            path = folder()
            on, off = load_both(path, self._options.threads, self._options.spin)
            for work in odd_works(self._vocabulary, self._scale):
                self._with_and_without(form, work, on, off)
            del on, off
            gc.collect()

    def release(self) -> None:
        """Let go of all engines: the forms of `reproducible` want their memory."""
        for kept in self._kept.values():
            if hasattr(kept, "close"):
                kept.close()
        self._kept.clear()
        gc.collect()

    def _with_and_without(self, form: str, work: Work, on: LoadedModel, off: LoadedModel) -> None:
        keeps = bool(work.later)
        peers = {"on": Ours(on), "off": Ours(off, lambda model: Unconstrained(model, keeps))}
        engines = {name: turns(peer) for name, peer in peers.items()}
        what = f"{form}: {work.name}"
        found, load = alternate(work, engines, self._repeats("reproducible"), what)
        values = {name: numbers(work, those) for name, those in found.items()}
        pairs = zip(found["on"][0][-1].tokens, found["off"][0][-1].tokens, strict=True)
        assert on.info.numeric is not None
        self.report(
            bench="reproducible",
            form=form,
            batching=on.info.numeric.batching,
            work=work.name,
            on={key: median_spread(these) for key, these in values["on"].items()},
            off={key: median_spread(these) for key, these in values["off"].items()},
            costs=ratios(values["off"], values["on"]),
            prompt_tokens_run={name: peer.prefilled for name, peer in peers.items()},
            answers_equal=f"{sum(a == b for a, b in pairs)}/{len(work.prompts)}",
            load=load,
        )

    def overhead(self) -> None:
        """Steps of the engine beside steps of the graph alone."""
        small = self._options.small or (BUNDLED if BUNDLED.exists() else None)
        new = 8 if self._options.quick else 48
        for folder, count in ((self._folder, new), (small, 4 * new)):
            if folder is None:
                self.report(skipped="overhead of a small model", why="none is given, and none comes with the package")
                continue
            wanted = bench_engine.Wanted(64 // self._scale, count, self._repeats("overhead"))
            options = EngineOptions(threads_max=self._options.threads, spin=self._options.spin)
            for line in bench_engine.lines(folder, (1, 16), wanted, options):
                name = self.name if folder == self._folder else "small"
                self.report(bench="overhead", **line | {"model": name})

    def _repeats(self, part: str) -> int:
        return int(self._options.repeats or (1 if self._options.quick else REPEATS[part]))

    def _once(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]

    def _ours(self) -> Ours:
        return Ours(load_ours(self._folder, self._options.threads, self._options.spin))

    def _engine(self, name: str) -> Run | None:
        """A way to run work, or None, of which a line tells once, if what it needs is not there."""
        family = "llama_server" if name.startswith("llama_server") else name.partition("_")[0]
        if family in self._missing:
            return None
        try:
            return _RUNS[name](self)
        except (ImportError, FileNotFoundError) as error:
            self._missing.add(family)
            self.report(skipped=family, why=str(error))
            return None

    def _genai(self) -> Any:
        from inference.genai import Genai

        return self._once("genai", lambda: Genai(self._folder, self._options.threads))

    def _llama(self, unified: bool) -> Any:
        from inference.llama import Llama, Weights

        weights = self._once("weights", lambda: Weights(self._gguf_path()))
        return self._once(f"llama {unified}", lambda: Llama(weights, self._options.threads, unified))

    def _server(self, unified: bool) -> Any:
        from inference.llama_server import LlamaServer

        binary = self._options.llama_server
        if binary is None or not binary.is_file():
            raise FileNotFoundError(f"there is no binary {binary}" if binary else "no --llama-server is given")
        threads = self._options.threads
        return self._once(f"server {unified}", lambda: LlamaServer(binary, self._gguf_path(), threads, unified))

    def _gguf_path(self) -> Path:
        if self._gguf is None:
            raise FileNotFoundError("a given folder has no GGUF file")
        return self._gguf


_RUNS: dict[str, Callable[[Bench], Run]] = {
    "genai": lambda bench: bench._genai().run,
    "genai_rewind": lambda bench: bench._genai().run_rewind,
    "llama_copies": lambda bench: bench._llama(False).run_copies,
    "llama_copies_unified": lambda bench: bench._llama(True).run_copies,
    "llama_slots": lambda bench: bench._llama(False).run_slots,
    "llama_sequential": lambda bench: bench._llama(False).run_sequential,
    "llama_server": lambda bench: turns(bench._server(False)),
    "llama_server_unified": lambda bench: turns(bench._server(True)),
    "llama_server_primed": lambda bench: bench._server(False).run_primed,
}


def main() -> int:
    options = arguments()
    if options.table:
        lines = [json.loads(line) for path in options.table for line in path.read_text(encoding="utf-8").splitlines()]
        print(tables(lines))
        return 0
    bench = Bench(options)
    bench.report(
        shape=bench.name,
        threads=options.threads,
        spin=options.spin,
        machine=f"{processor()}, {os.cpu_count()} cores, {platform.system()}",
        versions=_versions(),
    )
    for part in options.only:
        if part in MEASURED:
            bench.compare(part)
            continue
        bench.release()
        if part == "reproducible":
            bench.reproducible()
        else:
            bench.overhead()
    print(tables(bench.report.lines), file=sys.stderr)
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
    parser.add_argument("--spin", action="store_true", help="let our threads poll while they wait")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(REPEATS), help="parts")
    parser.add_argument("--engines", type=lambda text: text.split(","), default=list(ENGINES))
    parser.add_argument("--forms", type=lambda text: text.split(";"), help="of `reproducible`, between semicolons")
    options = parser.parse_args()
    if unknown := {*options.only, *options.engines} - {*REPEATS, *ENGINES, "ours"}:
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    options.engines = [] if options.model else [name for name in ENGINES if name in options.engines]
    return options


def applies(engine: str, work: Work) -> bool:
    """One way of each to run a single prompt, no copies where nothing is in common, and turns where they are kept."""
    if work.later:
        return engine in ("llama_server", "llama_server_unified")
    if engine in ("genai", "llama_slots", "llama_server"):
        return True
    if engine in ("llama_sequential", "llama_server_unified"):
        return len(work.prompts) > 1
    return bool(work.prefix)


def _same_first(ours: list[Answer], other: list[Answer]) -> int:
    return sum(a[0] == b[0] for a, b in zip(ours[0].tokens, other[0].tokens, strict=True))


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
