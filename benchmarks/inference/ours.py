"""Turnwise's engine, in this process. Text goes in and comes out; the benchmark's tokenizer has a word for each id."""

from __future__ import annotations

import json
import time
from pathlib import Path

from inference.work import Answer, Work
from turnwise.core.canonical import canonical
from turnwise.inference.engine import Engine, Piece
from turnwise.inference.load import load_model
from turnwise.inference.model import EngineOptions, ModelSpec
from turnwise.inference.request import GenerateRequest

STREAM = bytes(32)


class Ours:
    """Every run begins with an empty prompt cache."""

    def __init__(self, folder: Path, threads: int, spin: bool) -> None:
        self._model = load_model(ModelSpec("bench", folder, "cpu"), EngineOptions(threads_max=threads, spin=spin))
        self.numeric = self._model.info.numeric

    def run(self, work: Work) -> Answer:
        bodies = [
            canonical({"prompt": " ".join(f"t{token}" for token in prompt), "temperature": 0.0, "tokens_max": work.new})
            for prompt in work.prompts
        ]
        engine = Engine(self._model)
        texts: list[list[str]] = [[] for _ in bodies]
        times: list[list[float]] = [[] for _ in bodies]
        start = time.perf_counter()
        for number, body in enumerate(bodies):
            engine.submit(GenerateRequest(number, "bench", body, STREAM))
        while engine.pending:
            events = engine.step()
            now = time.perf_counter() - start
            for event in events:
                if isinstance(event, Piece):
                    texts[event.id].append(event.text)
                    times[event.id].append(now)
                else:
                    _check(event.body, len(work.prompts[event.id]), work.new)
        return Answer([[int(word.strip()[1:]) for word in words] for words in texts], times)


def _check(body: str, prompt_tokens: int, new: int) -> None:
    reply = json.loads(body).get("ok")
    if reply is None or (reply["prompt_tokens"], reply["tokens"], reply["finish"]) != (prompt_tokens, new, "length"):
        raise SystemExit(f"expected {new} tokens after {prompt_tokens}: {body[:300]}")
