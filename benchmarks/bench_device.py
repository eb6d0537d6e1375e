"""Milliseconds of steps and tokens a second of agents on a device or the CPU, with equal answers alone and together.

    python benchmarks/bench_device.py MODEL_FOLDER [--provider cuda] [--rows 1,16,64] [--past 500] [--repeats 5]
        [--sides recorded,kernels] [--beside transformers,genai] [--no-reproducible] [--quick]

The sides take turns: `recorded`, steps that are recorded as CUDA graphs where that can be; `kernels`, the same without;
and those `beside`: `transformers` (a random model of the shape of Qwen2.5-0.5B, captured as CUDA graphs), `genai`
(onnxruntime-genai on the same folder with CUDA graphs) and `genai_kernels`. With `--no-reproducible` ours have the
kernels that are fastest, whose bits are not promised: for a run of its own, since variables of CUDA are the process's.

Each line is one JSON object: the first says what ran them and where. `step_ms` are the medians of steps of so many rows
behind a past of so many tokens, `spread` the quartiles. `agents`: so many requests with a beginning of `past` tokens in
common and 8 of their own, `new` tokens each: tokens a second, from a cold and a warm prefix cache. Each line has the
medians of the ratios of neighbouring times, `ratios`: how many times as long as the first side the others take.
`mixed`: 64 requests of 3 to 1,100 tokens, greedy and drawn, some with a common beginning or log probabilities.
Answers of ours are compared: those of the agents and of `mixed` are the same on every side, alone, and in batches of
other sizes, or the program ends. With `--quick` little is run, and its figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from turnwise.inference.decoding.self_test import token_of
from turnwise.inference.engine.engine import Engine
from turnwise.inference.engine.language_model import LanguageModel
from turnwise.inference.engine.load import load_model
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest

STEPS, STEPS_QUICK = 10, 3
WARM_UP, WARM_UP_QUICK = 12, 1
"""Steps before any is timed: recording takes some."""

OWN_TOKENS = 8
KV_BYTES = 12 << 30
Times = dict[str, list[float]]


class Steps:
    """Steps of rows that hold about `past` tokens each."""

    def __init__(self, model: LanguageModel, rows: int, past: int, most: int) -> None:
        self._decoder, self._vocabulary, self._rows = model.decoder, model.info.vocabulary_size, rows
        self._done = past
        self._decoder.begin(past + most)
        self._decoder.reserve(rows, past + most)
        for row in range(rows):
            count, start = past - row % 8, 0
            ids = [token_of(self._vocabulary, row, place) for place in range(count)]
            piece = self._decoder.chunk_tokens or count
            while start < count:
                self._decoder.prefill(row, ids[start : start + piece], count)
                start += piece

    def times_ms(self, count: int) -> list[float]:
        """Milliseconds of each of so many steps."""
        times = []
        for _ in range(count):
            tokens = [token_of(self._vocabulary, row, self._done) for row in range(self._rows)]
            self._done += 1
            began = time.perf_counter()
            self._decoder.decode(tokens)
            times.append((time.perf_counter() - began) * 1000)
        return times


def compared(times: Times, digits: int = 3) -> dict[str, Any]:
    """Medians and quartiles of each side, and medians of ratios to the first."""
    found: dict[str, Any] = {"step_ms": {}, "spread": {}, "ratios": {}}
    first, *others = times
    for side, values in times.items():
        low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
        found["step_ms"][side] = round(middle, digits)
        found["spread"][side] = [round(low, digits), round(high, digits)]
    for side in others:
        pairs = zip(times[side], times[first], strict=True)
        found["ratios"][side] = round(statistics.median(theirs / ours for theirs, ours in pairs), digits)
    return found


def serve(engine: Engine, bodies: dict[int, str]) -> dict[int, str]:
    """The answers to requests that come at once."""
    for number, body in bodies.items():
        stream = blake2b(b"%d" % number, digest_size=32).digest()
        engine.submit(GenerateRequest(number, "m", body, stream))
    found: dict[int, str] = {}
    while engine.pending:
        found |= {event.id: event.body for event in engine.step() if isinstance(event, GenerateReply)}
    return found


def prompts_of(vocabulary: int, count: int, shared_tokens: int) -> list[list[int]]:
    """Token ids of prompts with a common beginning."""
    shared = [token_of(vocabulary, 0, place) for place in range(shared_tokens)]
    own = range(shared_tokens, shared_tokens + OWN_TOKENS)
    return [shared + [token_of(vocabulary, 1 + number, place) for place in own] for number in range(count)]


def agents_s(model: LanguageModel, bodies: dict[int, str]) -> tuple[dict[str, Any], dict[int, str]]:
    """Seconds and tokens of requests, from a cold and a warm cache; their answers."""
    engine = Engine(model)
    found: dict[str, Any] = {}
    answers: dict[int, str] = {}
    for cache in ("cold", "warm"):
        before = engine.statistics()
        began = time.perf_counter()
        said = serve(engine, bodies)
        seconds = time.perf_counter() - began
        now = engine.statistics()
        found |= {
            f"{cache}_s": seconds,
            f"{cache}_tokens": now.tokens - before.tokens,
            f"{cache}_reused_tokens": now.reused_tokens - before.reused_tokens,
        }
        if answers and said != answers and reproducible(model):
            raise SystemExit("a request has another answer from a warm cache")
        answers = said
    return found, answers


def reproducible(model: LanguageModel) -> bool:
    return model.info.numeric is not None and model.info.numeric.numeric_class == "batch-invariant"


def able(peers: dict[str, Any], prompts: list[list[int]]) -> dict[str, Any]:
    """Those who can answer so many prompts at once; the others are said."""
    found = {}
    for name, other in peers.items():
        try:
            other.agents(prompts, 2)
            found[name] = other
        except OSError as error:
            print(json.dumps({"left_out": name, "agents": len(prompts), "because": str(error)[:300]}), flush=True)
    return found


def texts(folder: Path, prompts: list[list[int]]) -> list[str]:
    """Texts of token ids, for a vocabulary of words; where it is none, the texts have about as many tokens."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return [" ".join(tokenizer.decode([token]) for token in prompt) for prompt in prompts]


def mixed(models: dict[str, LanguageModel], folder: Path, count: int) -> dict[str, Any]:
    """Requests of all lengths at once, again, and in batches; ends the program if an answer is another."""
    first = next(iter(models.values()))
    vocabulary, context = first.info.vocabulary_size, first.info.context_length
    prompts = []
    for number in range(count):
        length = min(3 + number * number * 1100 // (count * count), context // 2)
        shared = min(length // 2, 300) if number % 3 == 0 else 0
        prompts.append([token_of(vocabulary, 7 if place < shared else 8 + number, place) for place in range(length)])
    more = ({}, {"temperature": 0.9, "top_p": 0.95}, {"logprobs": 2}, {"temperature": 1.2, "top_k": 40})
    bodies = {
        number: json.dumps(
            {"prompt": text, "tokens_max": 12 + 5 * number % 40, "on_full": "drop_oldest"} | more[number % 4]
        )
        for number, text in enumerate(texts(folder, prompts))
    }
    expected = serve(Engine(first), bodies)
    found: dict[str, Any] = {"mixed": count, "lengths": [len(prompts[0]), len(prompts[-1])], "equal": {}}
    for side, model in models.items():
        engine, equal = Engine(model), {}
        for run in ("together", "again"):
            equal[run] = serve(engine, bodies) == expected
        for size in (1, 2, 5, 16, 33):
            some = {number: bodies[number] for number in list(bodies)[size % 3 :: max(1, count // size)][:size]}
            equal[f"in {size}"] = all(
                answer == expected[number] for number, answer in serve(Engine(model), some).items()
            )
        found["equal"][side] = equal
        if reproducible(model) and not all(equal.values()):
            raise SystemExit(f"{side}: answers depend on what runs beside them: {json.dumps(found)}")
    return found


def agents(
    models: dict[str, LanguageModel],
    peers: dict[str, Any],
    folder: Path,
    count: int,
    shared: int,
    new: int,
    repeats: int,
) -> dict[str, Any]:
    """Tokens a second of so many requests; ends the program if an answer depends on the others, or on the side."""
    first, model = next(iter(models.items()))
    ids = prompts_of(model.info.vocabulary_size, count, shared)
    bodies = {
        number: json.dumps({"prompt": text, "tokens_max": new, "on_full": "drop_oldest"})
        for number, text in enumerate(texts(folder, ids))
    }
    peers = able(peers, ids)
    seconds: dict[str, Times] = {cache: {side: [] for side in [*models, *peers]} for cache in ("cold", "warm")}
    facts: dict[str, Any] = {}
    answers: dict[str, dict[int, str]] = {}
    for number in range(repeats):
        for side in [*models, *peers][:: -1 if number % 2 else 1]:
            if side in models:
                found, answers[side] = agents_s(models[side], bodies)
                facts[side] = {name: value for name, value in found.items() if not name.endswith("_s")}
                for cache in seconds:
                    seconds[cache][side].append(found[f"{cache}_s"] / found[f"{cache}_tokens"] * count * new)
            else:
                took = peers[side].agents(ids, new)
                for cache in seconds:
                    seconds[cache][side].append(took)
    for side, model in models.items():
        if not reproducible(model):
            continue
        if answers[side] != answers[first]:
            raise SystemExit(f"{side} gives other answers than {first}")
        for number in list(bodies)[:: max(1, count // 4)]:
            if serve(Engine(model), {number: bodies[number]})[number] != answers[first][number]:
                raise SystemExit(f"request {number} of {count} has another answer alone")
    line: dict[str, Any] = {"agents": count, "shared": shared, "new": new, "facts": facts}
    for cache, times in seconds.items():
        ratios = compared(times)["ratios"]
        per_s = {side: round(count * new / statistics.median(values)) for side, values in times.items()}
        line[cache] = {"tokens_per_s": per_s, "ratios": ratios}
    return line


def loaded(arguments: argparse.Namespace, rows_max: int) -> dict[str, LanguageModel]:
    """Ours, a model a side."""
    models = {}
    for side in arguments.sides.split(","):
        options = EngineOptions(rows_max=rows_max, records=side == "recorded", kv_bytes_max=KV_BYTES)
        spec = ModelSpec("m", arguments.model, arguments.provider, reproducible=not arguments.no_reproducible)
        models[side] = load_model(spec, options)
    return models


def beside(arguments: argparse.Namespace) -> dict[str, Any]:
    """Others, by name; what cannot be had is said and left out."""
    if not arguments.beside:
        return {}
    from device.peers import Remote

    found = {}
    for name in arguments.beside.split(","):
        try:
            found[name] = Remote(name, arguments.model, arguments.intermediate)
        except OSError as error:
            print(json.dumps({"left_out": name, "because": str(error)[:300]}), flush=True)
    return found


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--provider", default="auto")
    parser.add_argument("--rows", default="1,16,64")
    parser.add_argument("--past", type=int, default=500)
    parser.add_argument("--new", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sides", default="recorded,kernels")
    parser.add_argument("--beside", default="")
    parser.add_argument("--intermediate", type=int, default=4864, help="size of transformers' feed-forward layers")
    parser.add_argument("--no-reproducible", action="store_true")
    parser.add_argument("--parts", default="steps,agents,mixed")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args(argv)
    rows = [int(item) for item in arguments.rows.split(",")]
    steps, warm_up = STEPS, WARM_UP
    if arguments.quick:
        rows, arguments.past, arguments.new, arguments.repeats = [1, 4], 20, 4, 1
        steps, warm_up = STEPS_QUICK, WARM_UP_QUICK
    models = loaded(arguments, max(rows))
    for side, model in models.items():
        info = model.info
        where = {name: value for name, value in info.versions.items() if name.startswith(("device", "onnxruntime"))}
        numeric = info.numeric.numeric_class if info.numeric else None
        facts = {"side": side, "provider": info.provider, "fallback": info.fallback, "class": numeric}
        facts |= {"form": info.form, "recording": info.recording, "load_ms": round(info.load_ms)}
        facts |= {"quick": arguments.quick, "figures": "mean nothing" if arguments.quick else "of this machine"}
        print(json.dumps(facts | where), flush=True)
    peers = beside(arguments)
    for name, other in peers.items():
        print(json.dumps({"beside": name, "is": other.name}), flush=True)
    first = next(iter(models.values()))
    past = min(arguments.past, first.info.context_length // 2)
    for count in rows if "steps" in arguments.parts else ():
        if count > min(model.decoder.budget.rows_max for model in models.values()):
            continue
        most = warm_up + steps * arguments.repeats
        runs: dict[str, Callable[[int], list[float]]] = {
            side: Steps(model, count, past, most).times_ms for side, model in models.items()
        }
        for name, other in peers.items():
            try:
                other.prepare(count, past)
                runs[name] = other.steps
            except OSError as error:
                print(json.dumps({"left_out": name, "rows": count, "because": str(error)[:300]}), flush=True)
        for run in runs.values():
            run(warm_up)
        times: Times = {side: [] for side in runs}
        for number in range(arguments.repeats):
            for side in list(runs)[:: -1 if number % 2 else 1]:
                times[side] += runs[side](steps)
        print(json.dumps({"rows": count, "past": past} | compared(times)), flush=True)
    for count in rows if "agents" in arguments.parts else ():
        repeats = max(1, (arguments.repeats + 1) // 2)
        line = agents(models, peers, arguments.model, count, past, arguments.new, repeats)
        print(json.dumps(line), flush=True)
    if "mixed" in arguments.parts:
        print(json.dumps(mixed(models, arguments.model, 8 if arguments.quick else 64)), flush=True)
    for other in peers.values():
        other.close()


if __name__ == "__main__":
    main()
