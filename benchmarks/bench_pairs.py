"""Steps of two tokens with a dummy second: what they cost, and what they bring on text.

    python benchmarks/bench_pairs.py MODEL [--tokens 96] [--repeats 5] [--quick]

Such a step gives the bits of a prompt's piece, so what was decoded can be reused as a prompt is, and tokens that were
guessed from the text so far (prompt lookup) can be run together and held against the model, with the same answer.
Each line is one JSON object. `step` has the milliseconds of a step of one token, of two, and of pieces of more; `rows`
those of a token for each of several sequences, in one step and in pairs; `text` those of greedy answers in the three
ways, with what was guessed and what was right; `conversation` those of turns where each goes on from all before it. The
ways take turns; the texts of the two with pairs must be equal, and the bits of pairs those of a prompt. Where guesses
fail, fewer are made. With `--quick` little is run, and figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from turnwise.demo import model_folder
from turnwise.inference.decoding.decoder import Decoder
from turnwise.inference.engine.language_model import LanguageModel
from turnwise.inference.engine.load import load_model
from turnwise.inference.plans.model_spec import ModelSpec

PIECES = (3, 4, 6, 8)
GRAM = 3
"""Tokens at the end of the text that are looked for in it."""
GUESSES = (0, 1, 3, 7)
"""Tokens that are guessed at once, after more or less luck."""
TEXTS = {
    "a question": "What is the capital of France, and what is it known for?",
    "a haggle": (
        "You are Ada, a shy buyer. You want the lamp of Ben. You can pay at most 40.\nBen: It burns all night. The "
        "lamp costs 55.\nAda:"
    ),
    "a copy": (
        "Repeat this list, then repeat it again: red apple, green pear, yellow plum, blue grape, red cherry, green "
        "lime, yellow lemon, blue berry."
    ),
    "a correction": (
        "Write this text again with the name Ada instead of Eve: Eve went to the market with a basket. Eve bought "
        "bread and cheese from the baker. The baker gave Eve a cake, and Eve gave the baker a coin."
    ),
}
TURNS = ("Tell me of a lamp.", "What does it cost?", "Can I have it for less?", "And what of the chair?")


class Pairs:
    """One sequence in row 0 of a decoder, in one of three ways."""

    def __init__(self, decoder: Decoder, way: str) -> None:
        self._decoder = decoder
        self._way = way
        self.guessed = self.right = self.runs = 0
        self._luck = 2
        self.answered: list[int] = []

    def answer(self, prompt: Sequence[int], count: int, ends: frozenset[int]) -> list[int]:
        """The likeliest tokens after a prompt whose beginning may lie in the row."""
        decoder = self._decoder
        start = decoder.held(0)
        while start < len(prompt):
            piece = min(128, len(prompt) - start)
            logits = decoder.prefill(0, prompt[start : start + piece], len(prompt))
            start += piece
        found = [int(logits.argmax())]
        while len(found) < count and found[-1] not in ends:
            self.runs += 1
            if self._way == "one":
                found.append(int(decoder.decode([found[-1]])[0].argmax()))
                continue
            guess = self._guess([*prompt, *found]) if self._way == "lookup" else []
            found += self._run(found[-1], guess)
        stop = next((place for place, token in enumerate(found, 1) if token in ends), count)
        self.answered = found[: min(stop, count)]
        return self.answered

    def _run(self, token: int, guess: list[int]) -> list[int]:
        ids = [token, *guess]
        if not guess:
            return [int(pair(self._decoder, token).argmax())]
        rows = self._decoder.prefill_neighbours(0, ids, len(ids))
        own = [int(row.argmax()) for row in rows]
        right = next((place for place, one in enumerate(guess) if one != own[place]), len(guess))
        self.guessed += len(guess)
        self.right += right
        self._luck = (
            min(self._luck + 1, len(GUESSES) - 1) if right == len(guess) else self._luck - 1 if not right else 2
        )
        self._luck = max(self._luck, 0)
        for _ in range(len(guess) - right):
            self._decoder.retract(0)
        return own[: right + 1]

    def _guess(self, text: list[int]) -> list[int]:
        """The tokens that followed where the text's last few were before."""
        end = text[-GRAM:]
        for place in range(len(text) - GRAM - 1, -1, -1):
            if text[place : place + GRAM] == end:
                following = text[place + GRAM : place + GRAM + GUESSES[self._luck]]
                self._luck = max(self._luck, 1)  # having guessed nothing once, it may guess one
                return following
        return []


def pair(decoder: Decoder, token: int, row: int = 0) -> NDArray[Any]:
    """A step of one token and a dummy behind it, whose place the next token takes: logits of the first."""
    logits: NDArray[Any] = decoder.prefill_neighbours(row, [token, token], 2)[0]
    decoder.retract(row)
    return logits


def held_bits(decoder: Decoder, ids: Sequence[int], context: int) -> None:
    """Compare what pairs give with what a prompt gives. Raises SystemExit."""
    decoder.begin(context)
    decoder.prefill(0, ids[:8])
    for token in ids[8:]:
        last = pair(decoder, token).copy()
    decoder.begin(context)
    if not np.array_equal(decoder.prefill(0, ids), last):
        raise SystemExit("a pair has other bits than a prompt")


def timed(act: Callable[[], object]) -> tuple[float, float]:
    began, used = time.perf_counter(), time.process_time()
    act()
    return (time.perf_counter() - began) * 1000, (time.process_time() - used) * 1000


def line(part: str, times: dict[str, list[tuple[float, float]]], **more: object) -> None:
    found: dict[str, object] = {"part": part, **more}
    for name, values in times.items():
        wall, used = zip(*values, strict=True)
        found[name] = {"ms": round(statistics.median(wall), 2), "cpu_ms": round(statistics.median(used), 2)}
    print(json.dumps(found), flush=True)


def steps(model: LanguageModel, repeats: int, past: int) -> None:
    decoder, token = model.decoder, 5
    decoder.begin(past + 64)
    decoder.prefill(0, [token] * past)

    def piece(count: int) -> None:
        decoder.prefill_neighbours(0, [token] * count, count)
        for _ in range(count):
            decoder.retract(0)

    def one() -> None:
        decoder.decode([token])
        decoder.retract(0)

    def two() -> None:
        pair(decoder, token)
        decoder.retract(0)

    ways: dict[str, Callable[[], None]] = {"1": one, "2": two}
    ways |= {str(count): lambda count=count: piece(count) for count in PIECES}  # type: ignore[misc]
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(repeats * 10):
        for name, act in ways.items():
            times[name].append(timed(act))
    line("step", times, past=past)


def rows(model: LanguageModel, repeats: int, count: int, past: int) -> None:
    """A token each for so many sequences: in one step, or in a pair each, which attention takes of one row only."""
    decoder, token = model.decoder, 5
    decoder.begin(past + 64)
    decoder.reserve(count, past + 64)
    for row in range(count):
        decoder.prefill(row, [token + row] * past)

    def together() -> None:
        decoder.decode([token] * count)
        for row in range(count):
            decoder.retract(row)

    def pairs() -> None:
        for row in range(count):
            pair(decoder, token, row)
            decoder.retract(row)

    times: dict[str, list[tuple[float, float]]] = {"one step": [], "pairs": []}
    for _ in range(repeats * 5):
        times["one step"].append(timed(together))
        times["pairs"].append(timed(pairs))
    line("rows", times, rows=count, past=past)


def texts(model: LanguageModel, repeats: int, tokens: int) -> None:
    decoder = model.decoder
    for name, text in TEXTS.items():
        prompt = prompt_of(model, [text])
        times: dict[str, list[tuple[float, float]]] = {"one": [], "pairs": [], "lookup": []}
        answers: dict[str, list[int]] = {}
        for _ in range(repeats):
            for way in times:
                run = Pairs(decoder, way)
                decoder.begin(min(len(prompt) + tokens + 16, decoder.budget.context_length))
                decoder.prefill(0, prompt[:-2])
                times[way].append(timed(partial(run.answer, prompt, tokens, model.ends)))
                answers[way] = run.answered
                counts = (run.runs, run.guessed, run.right)
        if answers["pairs"] != answers["lookup"]:
            raise SystemExit(f"{name}: lookup changes the answer")
        runs, guessed, right = counts
        line("text", times, text=name, tokens=len(answers["pairs"]), runs=runs, guessed=guessed, right=right)


def conversation(model: LanguageModel, repeats: int, tokens: int) -> None:
    """Turns: with one token a step the answers are prefilled again, with pairs they are there."""
    decoder = model.decoder
    times: dict[str, list[tuple[float, float]]] = {"one": [], "pairs": [], "lookup": []}
    for _ in range(repeats):
        for way in times:
            run = Pairs(decoder, way)

            def act(run: Pairs = run, way: str = way) -> None:
                said: list[int] = []
                decoder.begin(min(decoder.budget.context_length, len(TURNS) * (tokens + 64)))
                for turn in TURNS:
                    prompt = [*said, *prompt_of(model, [turn])]
                    if len(prompt) + tokens + 16 > decoder.budget.context_length:
                        break
                    answer = run.answer(prompt, tokens, model.ends)
                    if way == "one":  # what steps wrote is other than what prefill writes
                        while decoder.held(0) > len(prompt):
                            decoder.retract(0)
                    said = [*prompt, *answer]
                    while decoder.held(0) >= len(said):
                        decoder.retract(0)

            times[way].append(timed(act))
    line("conversation", times, turns=len(TURNS), tokens=tokens)


def prompt_of(model: LanguageModel, said: Sequence[str]) -> list[int]:
    if len(model.tokenizer.encode("<|im_start|>")) > 1:  # it has no such token: text that goes on
        return model.tokenizer.encode("\n".join(said))
    text = "".join(f"<|im_start|>user\n{one}<|im_end|>\n<|im_start|>assistant\n" for one in said)
    return model.tokenizer.encode(text)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=model_folder)
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(argv)
    repeats, tokens = (2, 8) if options.quick else (options.repeats, options.tokens)
    model = load_model(ModelSpec("m", Path(options.model), "cpu"))
    context = model.info.context_length
    tokens = min(tokens, context // 4)
    held_bits(model.decoder, prompt_of(model, list(TEXTS.values())[:2])[: context // 2], context)
    for past in (32, min(512, context // 2)):
        steps(model, repeats, past)
    for count in (1, 2, 4, 16):
        rows(model, repeats, count, min(256, context // 2))
    texts(model, repeats, tokens)
    conversation(model, repeats, tokens)


if __name__ == "__main__":
    main()
