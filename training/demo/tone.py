"""Does the model listen to words, or only to numbers? `python -m training.demo.tone FOLDER` asks it.

Held-out conversations are cut after somebody's offer, and that offer is said in three tones with the same price:
plainly, with a word that more is to be had, and with one that it is not. Prints, as one JSON object, how far the
model's next offer comes towards it. The generator's people go 0.7 times as far after a soft word, 1.35 times after a
firm one.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from training.demo import phrases
from training.demo.dialogue import HELD_OUT_FIRST, Dialogue, Line, dialogue
from training.demo.policy import Tone
from turnwise.inference.engine.engine import Engine
from turnwise.inference.engine.load import load_model
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest

CONVERSATIONS: Final = 400
TONES: Final[tuple[Tone, ...]] = ("soft", "plain", "firm")
_STREAM: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class Question:
    """The price `theirs` is said to somebody whose own last offer was `mine`."""

    made: Dialogue
    lines: tuple[Line, ...]
    mine: int
    theirs: int

    def prompt(self, tone: Tone) -> str:
        """The conversation up to here, its last offer in a tone of our choice."""
        asks = self.lines[-1].speaker == self.made.seller.name
        me = self.made.buyer if asks else self.made.seller
        clauses = {
            "plain": "",
            "soft": (phrases.SOFT_ASKS if asks else phrases.SOFT_BIDS)[0],
            "firm": (phrases.FIRM_ASKS if asks else phrases.FIRM_BIDS)[0],
        }
        said = "".join(f"{line.speaker}: {line.text}\n" for line in self.lines[:-1])
        last = f"{self.lines[-1].speaker}: How about {self.theirs}? {clauses[tone]}".rstrip()
        return f"{self.made.header(me)}{said}{last}\n{me.name}:"


def questions() -> Iterator[Question]:
    """The third and the fourth line of each conversation, where they are offers and far from agreement."""
    for seed in range(HELD_OUT_FIRST, HELD_OUT_FIRST + CONVERSATIONS):
        made = dialogue(seed)
        for count in (3, 4):
            lines = made.lines[:count]
            mine, theirs = lines[-2].move.price, lines[-1].move.price
            if lines[-1].move.kind == "offer" and mine is not None and theirs is not None and abs(theirs - mine) > 12:
                yield Question(made, lines, mine, theirs)


def ask(folder: Path) -> dict[str, float | int]:
    """The mean share of the way to the other's offer that the next offer goes, by tone."""
    engine = Engine(load_model(ModelSpec("demo", folder, "cpu")))
    asked = list(questions())
    shares: dict[Tone, list[float]] = {tone: [] for tone in TONES}
    for number, question in enumerate(asked):
        for place, tone in enumerate(TONES):
            body = json.dumps({"prompt": question.prompt(tone), "tokens_max": 60, "stop": ["\n"]})
            engine.submit(GenerateRequest(number * len(TONES) + place, "demo", body, _STREAM))
    while engine.pending:
        for event in engine.step():
            if isinstance(event, GenerateReply):
                number, place = divmod(event.id, len(TONES))
                share = _share(asked[number], json.loads(event.body)["ok"]["text"])
                if share is not None:
                    shares[TONES[place]].append(share)
    means = {tone: round(sum(found) / len(found), 3) for tone, found in shares.items()}
    return {"questions": len(asked)} | {f"answers_{tone}": len(found) for tone, found in shares.items()} | means


def _share(question: Question, answer: str) -> float | None:
    numbers = re.findall(r"\d+", answer)
    if not numbers or re.search(r"deal|agreed|done|last|coin (more|less)", answer, re.IGNORECASE):
        return None
    return (int(numbers[-1]) - question.mine) / (question.theirs - question.mine)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what tones of voice do.")
    parser.add_argument("folder", type=Path, help="the model folder")
    print(json.dumps(ask(parser.parse_args().folder)))


if __name__ == "__main__":
    main()
