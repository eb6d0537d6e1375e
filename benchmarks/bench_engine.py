"""Milliseconds of the engine's decode steps, beside a bare ONNX Runtime loop of the same steps.

    python benchmarks/bench_engine.py MODEL_FOLDER [--rows 1,16] [--prompt 64] [--new 128] [--threads 2] [--repeats 7]
        [--sleep]

Each line is one JSON object: `engine_ms` and `bare_ms` are the medians of a step, `overhead_ms` and `overhead_share`
the medians of what a step of one differs from the same step of the other, with `spread` (quartiles). They take turns.
The bare loop binds the same kind of memory once, feeds the largest logit back, and does nothing else: no text, no
requests, no bookkeeping. It runs the same graph under the same settings, as the folder has it, without the engine's
choice of positions. No answer ends before `--new` tokens. The texts of both are compared.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from turnwise.core.canonical import canonical
from turnwise.inference.decoding.signature import Signature
from turnwise.inference.engine.engine import Engine
from turnwise.inference.engine.language_model import LanguageModel
from turnwise.inference.engine.load import load_model
from turnwise.inference.folders.model_folder import ModelFolder, read_model_folder
from turnwise.inference.onnx.providers import versions
from turnwise.inference.onnx.sessions import open_session
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest


@dataclass(frozen=True, slots=True)
class Wanted:
    """Tokens of a prompt, new tokens, and how often."""

    prompt: int = 64
    new: int = 128
    repeats: int = 7


class Bare:
    """The graph and its KV cache, and nothing else."""

    def __init__(self, folder: ModelFolder, options: EngineOptions) -> None:
        opened = open_session(
            ModelSpec("m", folder.path, "cpu"), folder.layout.graph_path, folder.weights_bytes, options
        )
        self._session = opened.session
        self._signature = Signature(folder, opened.session)
        self._folder = folder

    def run(self, prompts: list[list[int]], new: int) -> Iterator[tuple[list[int], float]]:
        """Of each step: the tokens that it gave, one a prompt, and its seconds; of the prompts themselves, first."""
        kv, rows, longest = self._signature.kv, len(prompts), max(map(len, prompts))
        index, vocabulary = self._signature.index, self._folder.layout.vocabulary_size
        room = -(-(longest + new) // 64) * 64
        slab = np.zeros((len(kv.past), *kv.shape(rows, room)), kv.dtype)
        found = []
        for row, prompt in enumerate(prompts):
            ids = np.array([prompt + prompt[-1:] * (len(prompt) % 2)], index)  # as the engine does: an even number
            mask = np.ones_like(ids)  # a name keeps it alive: what is bound is its address
            logits = np.empty((1, ids.shape[1], vocabulary), self._signature.logits)
            binding = self._binding(slab[:, row : row + 1], ids, mask, logits)
            self._session.run_with_iobinding(binding)
            found.append([int(logits[0, len(prompt) - 1].argmax())])
        yield [token for (token,) in found], 0.0
        ids = np.array(found, index)
        mask = np.zeros((rows, room), index)
        every, lengths = np.arange(rows), np.array([len(prompt) for prompt in prompts])
        for row, length in enumerate(lengths):
            mask[row, :length] = 1
        logits = np.empty((rows, 1, vocabulary), self._signature.logits)
        binding = self._binding(slab, ids, mask, logits)
        for _ in range(new - 1):
            began = time.perf_counter()
            mask[every, lengths] = 1
            lengths += 1
            self._session.run_with_iobinding(binding)
            ids[:, 0] = logits[:, 0].argmax(axis=1)
            took = time.perf_counter() - began
            yield ids[:, 0].tolist(), took

    def _binding(self, slab: Any, ids: Any, mask: Any, logits: Any) -> Any:
        binding = self._session.io_binding()
        kv, names = self._signature.kv, self._folder.layout.names
        for index, (past, present) in enumerate(zip(kv.past, kv.present, strict=True)):
            part = slab[index]
            binding.bind_input(past, "cpu", 0, kv.dtype, part.shape, part.ctypes.data)
            binding.bind_output(present, "cpu", 0, kv.dtype, part.shape, part.ctypes.data)
        for name, array in ((names.input_ids, ids), (names.attention_mask, mask)):
            binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        binding.bind_output(names.logits, "cpu", 0, logits.dtype, logits.shape, logits.ctypes.data)
        return binding


class Ours:
    """An engine whose steps are timed."""

    def __init__(self, model: LanguageModel, texts: list[str], new: int, sampling: dict[str, float]) -> None:
        self._engine = Engine(model)
        self.replies: dict[int, str] = {}
        for number, prompt in enumerate(texts):
            body = canonical({"prompt": prompt, "tokens_max": new} | sampling)
            self._engine.submit(GenerateRequest(number, "m", body, bytes([number]) * 32))
        self._rows = len(texts)

    def steps(self) -> Iterator[float]:
        """Seconds of each step in which all take part; the others are run between."""
        running = self._engine
        while running.pending:
            before = running.statistics().step_rows
            began = time.perf_counter()
            events = running.step()
            took = time.perf_counter() - began
            for event in events:
                if isinstance(event, GenerateReply):
                    self.replies[event.id] = json.loads(event.body)["ok"]["text"]
            if running.statistics().step_rows - before == self._rows:
                yield took


def measure(model: LanguageModel, bare: Bare, rows: int, wanted: Wanted) -> dict[str, Any]:
    """Engine and bare loop, step by step in turn; and the engine once more with sampling."""
    model = replace(model, ends=frozenset())
    texts = [text(model, np.random.default_rng(row).integers(3, 200, wanted.prompt).tolist()) for row in range(rows)]
    prompts = [model.tokenizer.encode(item) for item in texts]
    new = min(wanted.new, model.info.context_length - max(map(len, prompts)))
    engine, alone, more, share = [], [], [], []
    for _ in range(wanted.repeats):
        ours, theirs = Ours(model, texts, new, {}), bare.run(prompts, new)
        found = [next(theirs)[0]]
        for mine in ours.steps():
            tokens, seconds = next(theirs)
            found.append(tokens)
            engine.append(mine * 1e3)
            alone.append(seconds * 1e3)
            more.append((mine - seconds) * 1e3)
            share.append(mine / seconds - 1)
        found += [tokens for tokens, _ in theirs]
        for number, prompt in enumerate(prompts):
            if ours.replies[number] != text(model, [tokens[number] for tokens in found], prompt):
                raise SystemExit("the bare loop and the engine gave different texts")
    sampled = list(Ours(model, texts, new, {"temperature": 0.8, "top_p": 0.95, "top_k": 50}).steps())
    if len(engine) < wanted.repeats * new // 2:
        raise SystemExit(f"few steps with all {rows} rows: {len(engine)}")
    return {
        "rows": rows,
        "steps": len(engine),
        "engine_ms": median(engine),
        "engine_sampled_ms": median([seconds * 1e3 for seconds in sampled]),
        "bare_ms": median(alone),
        "overhead_ms": median(more),
        "overhead_ms_spread": quartiles(more),
        "overhead_share": median(share),
        "overhead_share_spread": quartiles(share),
    }


def lines(folder: Path, rows: Sequence[int], wanted: Wanted, options: EngineOptions) -> Iterator[dict[str, Any]]:
    """A result for each number of rows."""
    model = load_model(ModelSpec("m", folder, "cpu"), options)
    bare = Bare(read_model_folder(folder), options)
    for count in rows:
        about = {"model": folder.name, "form": model.info.form, "threads": model.info.threads}
        yield about | measure(model, bare, count, wanted) | {"onnxruntime": versions()["onnxruntime"]}


def median(values: list[float]) -> float:
    return round(statistics.median(values), 4)


def quartiles(values: list[float]) -> list[float]:
    found = statistics.quantiles(values, n=4)
    return [round(found[0], 4), round(found[2], 4)]


def text(model: LanguageModel, ids: list[int], prompt: list[int] | None = None) -> str:
    stream = model.tokenizer.detokenizer(prompt or [])
    return "".join(stream.push(token) for token in ids)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rows", default="1,16")
    parser.add_argument("--prompt", type=int, default=64)
    parser.add_argument("--new", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--sleep", action="store_true", help="let threads sleep while they wait")
    arguments = parser.parse_args()
    options = EngineOptions(threads_max=arguments.threads, spin_us=0 if arguments.sleep else None)
    wanted = Wanted(arguments.prompt, arguments.new, arguments.repeats)
    for line in lines(arguments.model, [int(item) for item in arguments.rows.split(",")], wanted, options):
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
