"""Milliseconds of the engine's decode steps, beside a bare ONNX Runtime loop of the same steps.

    python benchmarks/bench_engine.py MODEL_FOLDER [--rows 1,16] [--prompt 64] [--new 128] [--threads 2] [--repeats 7]

Each line is one JSON object: `engine_ms` and `bare_ms` are the medians of a step, `overhead_ms` and `overhead_share`
the medians of what neighbouring measurements differ by, with `spread` (least and greatest). The bare loop binds the
same kind of memory once, feeds the largest logit back, and does nothing else: no text, no requests, no bookkeeping. It
runs the same graph under the same settings. The texts of both are compared.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from turnwise.core.canonical import canonical
from turnwise.inference.engine import Engine
from turnwise.inference.load import LoadedModel, load_model
from turnwise.inference.model import EngineOptions, ModelSpec
from turnwise.inference.model_folder import ModelFolder, read_model_folder
from turnwise.inference.providers import open_session, versions
from turnwise.inference.request import GenerateReply, GenerateRequest
from turnwise.inference.signature import Signature


class Bare:
    """The graph and its KV cache, and nothing else."""

    def __init__(self, folder: ModelFolder, options: EngineOptions) -> None:
        opened = open_session(ModelSpec("m", folder.path, "cpu"), folder.graph_path, folder.weights_bytes, options)
        self._session = opened.session
        self._signature = Signature(folder, opened.session)
        self._folder = folder

    def run(self, prompts: list[list[int]], new: int) -> tuple[list[list[int]], list[float]]:
        """Tokens of each prompt, and seconds of each step."""
        kv, rows, longest = self._signature.kv, len(prompts), max(map(len, prompts))
        index, vocabulary = self._signature.index, self._folder.vocabulary_size
        room = -(-(longest + new) // 64) * 64
        slab = np.zeros((len(kv.past), *kv.shape(rows, room)), kv.dtype)
        found = []
        for row, prompt in enumerate(prompts):
            ids = np.array([prompt + prompt[-1:] * (len(prompt) % 2)], index)  # as the engine does: an even number
            logits = np.empty((1, ids.shape[1], vocabulary), self._signature.logits)
            binding = self._binding(slab[:, row : row + 1], ids, np.ones_like(ids), logits)
            self._session.run_with_iobinding(binding)
            found.append([int(logits[0, len(prompt) - 1].argmax())])
        ids = np.array(found, index)
        mask = np.zeros((rows, room), index)
        every, lengths = np.arange(rows), np.array([len(prompt) for prompt in prompts])
        for row, length in enumerate(lengths):
            mask[row, :length] = 1
        logits = np.empty((rows, 1, vocabulary), self._signature.logits)
        binding = self._binding(slab, ids, mask, logits)
        times = []
        for _ in range(new - 1):
            began = time.perf_counter()
            mask[every, lengths] = 1
            lengths += 1
            self._session.run_with_iobinding(binding)
            ids[:, 0] = logits[:, 0].argmax(axis=1)
            times.append(time.perf_counter() - began)
            for row, token in enumerate(ids[:, 0].tolist()):
                found[row].append(token)
        return found, times

    def _binding(self, slab: Any, ids: Any, mask: Any, logits: Any) -> Any:
        binding = self._session.io_binding()
        kv, names = self._signature.kv, self._folder.names
        for index, (past, present) in enumerate(zip(kv.past, kv.present, strict=True)):
            part = slab[index]
            binding.bind_input(past, "cpu", 0, kv.dtype, part.shape, part.ctypes.data)
            binding.bind_output(present, "cpu", 0, kv.dtype, part.shape, part.ctypes.data)
        for name, array in ((names.input_ids, ids), (names.attention_mask, mask)):
            binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        binding.bind_output(names.logits, "cpu", 0, logits.dtype, logits.shape, logits.ctypes.data)
        return binding


def engine(model: LoadedModel, texts: list[str], new: int, sampling: dict[str, float]) -> tuple[list[str], list[float]]:
    """Text of each answer, and seconds of each step in which all of them took part."""
    running = Engine(model)
    for number, text in enumerate(texts):
        body = canonical({"prompt": text, "tokens_max": new} | sampling)
        running.submit(GenerateRequest(number, "m", body, bytes([number]) * 32))
    replies: dict[int, str] = {}
    times = []
    while running.pending:
        before = running.statistics()
        began = time.perf_counter()
        events = running.step()
        took = time.perf_counter() - began
        if running.statistics().step_rows - before.step_rows == len(texts):
            times.append(took)
        replies |= {
            event.id: json.loads(event.body)["ok"]["text"] for event in events if isinstance(event, GenerateReply)
        }
    return [replies[number] for number in range(len(texts))], times


def measure(model: LoadedModel, bare: Bare, rows: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Engine and bare loop in turn; and the engine once more with sampling."""
    texts = [text(model, np.random.default_rng(row).integers(3, 500, arguments.prompt).tolist()) for row in range(rows)]
    prompts = [model.tokenizer.encode(item) for item in texts]
    new = min(arguments.new, model.info.context_length - max(map(len, prompts)))
    measured: dict[str, list[float]] = {"engine": [], "bare": [], "overhead": [], "share": [], "sampled": []}
    for _ in range(arguments.repeats):
        answers, ours = engine(model, texts, new, {})
        tokens, theirs = bare.run(prompts, new)
        for answer, found, prompt in zip(answers, tokens, prompts, strict=True):
            end = next((place for place, token in enumerate(found) if token in model.ends), len(found))
            if answer != text(model, found[:end], prompt):
                raise SystemExit("the bare loop and the engine gave different texts")
        if len(ours) < 10:
            raise SystemExit(f"only {len(ours)} steps with all {rows} rows: give another model or prompt length")
        mine, bares = statistics.median(ours), statistics.median(theirs[: len(ours)])
        _, sampled = engine(model, texts, new, {"temperature": 0.8, "top_p": 0.95, "top_k": 50})
        measured["engine"].append(mine * 1e3)
        measured["bare"].append(bares * 1e3)
        measured["overhead"].append((mine - bares) * 1e3)
        measured["share"].append(mine / bares - 1)
        measured["sampled"].append(statistics.median(sampled or [mine]) * 1e3)
    middle = {name: round(statistics.median(values), 4) for name, values in measured.items()}
    return {
        "rows": rows,
        "engine_ms": middle["engine"],
        "engine_sampled_ms": middle["sampled"],
        "bare_ms": middle["bare"],
        "overhead_ms": middle["overhead"],
        "overhead_ms_spread": [round(min(measured["overhead"]), 4), round(max(measured["overhead"]), 4)],
        "overhead_share": middle["share"],
        "overhead_share_spread": [round(min(measured["share"]), 4), round(max(measured["share"]), 4)],
    }


def text(model: LoadedModel, ids: list[int], prompt: list[int] | None = None) -> str:
    stream = model.tokenizer.text(prompt or [])
    return "".join(stream.push(token) for token in ids)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rows", default="1,16")
    parser.add_argument("--prompt", type=int, default=64)
    parser.add_argument("--new", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    options = EngineOptions(threads_max=arguments.threads)
    model = load_model(ModelSpec("m", arguments.model, "cpu"), options)
    bare = Bare(read_model_folder(arguments.model), options)
    for rows in (int(item) for item in arguments.rows.split(",")):
        result = measure(model, bare, rows, arguments)
        about = {"model": arguments.model.name, "form": model.info.form, "threads": model.info.threads}
        print(json.dumps(about | result | {"onnxruntime": versions()["onnxruntime"]}), flush=True)


if __name__ == "__main__":
    main()
