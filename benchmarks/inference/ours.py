"""Turnwise's engine, in this process. Text goes in and comes out; the benchmark's tokenizer has a word for each id."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from inference.work import Answer, Ids
from turnwise.core.canonical import canonical
from turnwise.inference.engine.engine import Engine
from turnwise.inference.engine.language_model import LanguageModel
from turnwise.inference.engine.load import load_model
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.requests.generate_request import GenerateRequest, TextPiece

STREAM = bytes(32)


def load_ours(folder: Path, threads: int, spin_us: int | None) -> LanguageModel:
    return load_model(ModelSpec("bench", folder, "cpu"), EngineOptions(threads_max=threads, spin_us=spin_us))


class Ours:
    """A loaded model, and an engine whose prompt cache is empty after `forget`."""

    def __init__(self, model: LanguageModel, make: Callable[[LanguageModel], Engine] = Engine) -> None:
        self.numeric = model.info.numeric
        self._model = model
        self._make = make
        self._engine = make(model)

    def forget(self) -> None:
        self._engine = self._make(self._model)

    @property
    def prefilled(self) -> int:
        """Prompt tokens that were run since `forget`; the others were there."""
        return self._engine.statistics().prompt_tokens

    def ask(self, prompts: Sequence[Ids], new: int) -> Answer:
        bodies = [
            canonical({"prompt": " ".join(f"t{token}" for token in prompt), "temperature": 0.0, "tokens_max": new})
            for prompt in prompts
        ]
        engine = self._engine
        texts: list[list[str]] = [[] for _ in bodies]
        times: list[list[float]] = [[] for _ in bodies]
        start = time.perf_counter()
        for number, body in enumerate(bodies):
            engine.submit(GenerateRequest(number, "bench", body, STREAM))
        while engine.pending:
            events = engine.step()
            now = time.perf_counter() - start
            for event in events:
                if isinstance(event, TextPiece):
                    texts[event.id].append(event.text)
                    times[event.id].append(now)
                else:
                    _check(event.body, len(prompts[event.id]), new)
        return Answer([[int(word.strip()[1:]) for word in words] for words in texts], times)


def _check(body: str, prompt_tokens: int, new: int) -> None:
    reply = json.loads(body).get("ok")
    if reply is None or (reply["prompt_tokens"], reply["tokens"], reply["finish"]) != (prompt_tokens, new, "length"):
        raise SystemExit(f"expected {new} tokens after {prompt_tokens}: {body[:300]}")
