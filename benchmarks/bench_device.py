"""Milliseconds of steps and tokens a second of agents on a device or the CPU, with equal answers alone and together.

    python benchmarks/bench_device.py MODEL_FOLDER [--provider cuda] [--rows 1,16,64] [--past 500] [--quick]

Each line is one JSON object: `step` has the median and quartiles of steps of so many rows behind a past of so many
tokens, `agents` the tokens a second of so many requests with a shared beginning, from a cold and a warm prefix cache.
The answers of the agents are compared with those that each gets alone; the first line says what ran them and where.
With `--quick` little is run, and its figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from turnwise.inference.decoding.self_test import token_of
from turnwise.inference.engine.engine import Engine
from turnwise.inference.engine.language_model import LanguageModel
from turnwise.inference.engine.load import load_model
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest

STEPS, STEPS_QUICK = 30, 3
WARM_UP = 3
SHARED = "The seller shows the buyer what there is, and the buyer asks what it costs. "


def step_ms(model: LanguageModel, rows: int, past: int, steps: int) -> list[float]:
    """Times of steps of rows that hold about `past` tokens each."""
    decoder, vocabulary = model.decoder, model.info.vocabulary_size
    decoder.begin(past + steps)
    decoder.reserve(rows, past + steps)
    for row in range(rows):
        count, start = past - row % 8, 0
        ids = [token_of(vocabulary, row, place) for place in range(count)]
        piece = decoder.chunk_tokens or count
        while start < count:
            decoder.prefill(row, ids[start : start + piece], count)
            start += piece
    times = []
    for step in range(steps):
        tokens = [token_of(vocabulary, row, past + step) for row in range(rows)]
        began = time.perf_counter()
        decoder.decode(tokens)
        times.append((time.perf_counter() - began) * 1000)
    return times[min(WARM_UP, steps - 1) :]


def serve(engine: Engine, bodies: dict[int, str]) -> dict[int, str]:
    """The answers to requests that come at once."""
    for number, body in bodies.items():
        stream = blake2b(b"%d" % number, digest_size=32).digest()
        engine.submit(GenerateRequest(number, "m", body, stream))
    found: dict[int, str] = {}
    while engine.pending:
        found |= {event.id: event.body for event in engine.step() if isinstance(event, GenerateReply)}
    return found


def agents(model: LanguageModel, count: int, shared_tokens: int, new: int) -> dict[str, Any]:
    """Tokens a second of so many requests, cold and warm; ends the program if an answer depends on the others."""
    text = SHARED * (1 + shared_tokens // len(model.tokenizer.encode(SHARED)))
    bodies = {
        number: json.dumps({"prompt": f"{text}Buyer {number}:", "tokens_max": new, "on_full": "drop_oldest"})
        for number in range(count)
    }
    engine = Engine(model)
    found: dict[str, Any] = {"agents": count}
    answers = {}
    for cache in ("cold", "warm"):
        before = engine.statistics()
        began = time.perf_counter()
        answers[cache] = serve(engine, bodies)
        seconds = time.perf_counter() - began
        now = engine.statistics()
        found[f"{cache}_tokens_per_s"] = round((now.tokens - before.tokens) / seconds)
        found[f"{cache}_reused_tokens"] = now.reused_tokens - before.reused_tokens
    for number in list(bodies)[:: max(1, count // 4)]:
        alone = serve(Engine(model), {number: bodies[number]})
        if not alone[number] == answers["cold"][number] == answers["warm"][number]:
            raise SystemExit(f"request {number} of {count} has another answer alone, or from a warm cache")
    return found


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--provider", default="auto")
    parser.add_argument("--rows", default="1,16,64")
    parser.add_argument("--past", type=int, default=500)
    parser.add_argument("--new", type=int, default=64)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args(argv)
    rows = [int(item) for item in arguments.rows.split(",")]
    if arguments.quick:
        rows, arguments.past, arguments.new = [1, 4], 20, 4
    model = load_model(ModelSpec("m", arguments.model, arguments.provider), EngineOptions(rows_max=max(rows)))
    info = model.info
    where = {name: value for name, value in info.versions.items() if name.startswith(("device", "onnxruntime"))}
    numeric = info.numeric.numeric_class if info.numeric else None
    facts = {"provider": info.provider, "fallback": info.fallback, "class": numeric, "quick": arguments.quick}
    print(json.dumps(facts | where), flush=True)
    past = min(arguments.past, info.context_length // 2)
    for count in (count for count in rows if count <= model.decoder.budget.rows_max):
        times = step_ms(model, count, past, STEPS_QUICK if arguments.quick else STEPS)
        low, middle, high = statistics.quantiles(times, n=4) if len(times) > 1 else times * 3
        spread = [round(low, 3), round(high, 3)]
        print(json.dumps({"rows": count, "past": past, "step_ms": round(middle, 3), "spread": spread}), flush=True)
    for count in rows:
        print(json.dumps(agents(model, count, past, arguments.new)), flush=True)


if __name__ == "__main__":
    main()
