"""Compares a model folder with the PyTorch model it was made of: `python -m training.demo.check TRAINED FOLDER`.

The logits of held-out conversations must agree to 1e-3, and greedy text through Turnwise's own engine must be that of
a plain greedy loop over the PyTorch model, token for token. Prints one JSON object; exits with 1 where they differ.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from training.demo.data import Data
from training.demo.dialogue import HELD_OUT_FIRST, dialogue
from training.demo.export import load_trained
from training.demo.model import Llama
from training.demo.tokenizer import BEGIN_ID, END_ID
from turnwise.inference.inspect.generate import generate_text

CONVERSATIONS: Final = 40
TOKENS_MAX: Final = 120
DIFFERENCE_MAX: Final = 1e-3
"""Of logits up to 32. The rounding of fp32 makes 2e-4 of it, in PyTorch and in ONNX Runtime alike."""


def logits_of(session: Any, model: Llama, ids: list[int]) -> NDArray[np.float32]:
    """Logits of all positions by ONNX Runtime, in one run from an empty cache."""
    shape = model.shape
    empty = np.zeros((1, shape.kv_heads, 0, shape.head_size), np.float32)
    names = [item.name for item in session.get_inputs() if item.name.startswith("past")]
    tokens = np.array([ids], np.int64)
    feeds = {"input_ids": tokens, "attention_mask": np.ones_like(tokens)} | dict.fromkeys(names, empty)
    (logits,) = session.run(["logits"], feeds)
    rows: NDArray[np.float32] = np.asarray(logits)[0]
    return rows


@torch.inference_mode()
def greedy(model: Llama, tokenizer: Tokenizer, prompt: str) -> str:
    """The likeliest continuation, without any cache."""
    ids = [BEGIN_ID, *tokenizer.encode(prompt).ids]
    made: list[int] = []
    while len(made) < TOKENS_MAX:
        token = int(model(torch.tensor([ids + made]))[0, -1].argmax())
        if token == END_ID:
            break
        made.append(token)
    return str(tokenizer.decode(made))


@torch.inference_mode()
def check(trained: Path, folder: Path) -> dict[str, float | int]:
    """The largest difference of a logit, and how many greedy texts are equal."""
    torch.set_num_threads(2)
    model = load_trained(trained)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    session: Any = ort.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])  # type: ignore[attr-defined]
    largest = 0.0
    for view in Data(tokenizer).views(HELD_OUT_FIRST, CONVERSATIONS):
        expected = model(torch.tensor([view.ids]))[0].numpy()
        largest = max(largest, float(np.abs(logits_of(session, model, view.ids) - expected).max()))
    equal = 0
    for seed in range(HELD_OUT_FIRST, HELD_OUT_FIRST + CONVERSATIONS):
        made = dialogue(seed)
        prompt = f"{made.header(made.seller)}{made.seller.name}:"
        text = "".join(generate_text(folder, prompt, tokens_max=TOKENS_MAX, provider="cpu"))
        equal += text == greedy(model, tokenizer, prompt)
    return {"logit_difference_max": largest, "texts": CONVERSATIONS, "texts_equal": equal}


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare a model folder with the model it was made of.")
    parser.add_argument("trained", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    found = check(arguments.trained, arguments.folder)
    print(json.dumps(found))
    if found["logit_difference_max"] > DIFFERENCE_MAX or found["texts_equal"] != found["texts"]:
        sys.exit("the folder does not compute what the trained model computes")


if __name__ == "__main__":
    main()
