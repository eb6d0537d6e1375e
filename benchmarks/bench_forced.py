"""What it saves to run the tokens that a grammar forces in one piece, beside a step for each of them.

    python benchmarks/bench_forced.py MODEL_FOLDER [--rows 1,16] [--threads 2] [--repeats 5] [--piece-min 2,3,4,6]

Requests with the same JSON schema are answered together, with the same tokens forced, in turn: in steps only, and in
pieces of at least so many tokens. Each line is one JSON object: seconds until all are answered (median and quartiles),
tokens that were generated, steps, and runs of forced pieces. The steps of 16 rows share the weights; pieces do not.
Values are drawn by temperature 1, so where the bits differ the values may too; all answers are checked to be JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

from turnwise.core.canonical import canonical
from turnwise.inference.engine import sequence
from turnwise.inference.engine.engine import Engine
from turnwise.inference.engine.language_model import LanguageModel
from turnwise.inference.engine.load import load_model
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "decision": {"enum": ["accept", "decline", "make a counter offer"]},
        "price_in_coins": {"type": "integer", "minimum": 1, "maximum": 99},
        "reason_for_decision": {"enum": ["too expensive", "a fair price", "not needed any more"]},
        "wants_to_continue": {"type": "boolean"},
    },
    "required": ["decision", "price_in_coins", "reason_for_decision", "wants_to_continue"],
    "additionalProperties": False,
}
NEVER = 1 << 30


def play(model: LanguageModel, rows: int, piece_min: int) -> dict[str, Any]:
    """All answers, in pieces of at least so many tokens."""
    sequence.PIECE_TOKENS_MIN = piece_min  # type: ignore[misc]
    engine = Engine(model)
    for number in range(rows):
        body = {"prompt": f"The {number + 2} men say: ", "json_schema": SCHEMA, "temperature": 1.0, "tokens_max": 120}
        engine.submit(GenerateRequest(number, "m", canonical(body), bytes([number]) * 32))
    texts = {}
    began = time.perf_counter()
    while engine.pending:
        for event in engine.step():
            if isinstance(event, GenerateReply):
                texts[event.id] = json.loads(event.body)["ok"]["text"]
    seconds = time.perf_counter() - began
    for text in texts.values():
        if list(json.loads(text)) != SCHEMA["required"]:
            raise SystemExit(f"an answer does not follow the schema: {text}")
    found = engine.statistics()
    return {"s": seconds, "tokens": found.tokens, "steps": found.steps, "pieces": found.extensions}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rows", default="1,16")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--piece-min", default="2,3,4,6")
    arguments = parser.parse_args()
    model = load_model(ModelSpec("m", arguments.model, "cpu"), EngineOptions(threads_max=arguments.threads))
    ways = [NEVER, *(int(item) for item in arguments.piece_min.split(","))]
    for rows in (int(item) for item in arguments.rows.split(",")):
        play(model, rows, NEVER)
        found = [{way: play(model, rows, way) for way in ways} for _ in range(arguments.repeats)]
        for way in ways:
            seconds = [each[way]["s"] for each in found]
            low, middle, high = statistics.quantiles(seconds, n=4)
            about = {"model": arguments.model.name, "rows": rows, "piece_min": None if way == NEVER else way}
            times = {"s": round(middle, 4), "s_spread": [round(low, 4), round(high, 4)]}
            print(json.dumps(about | found[0][way] | times), flush=True)


if __name__ == "__main__":
    main()
