"""Trains the demo model on the CPU: `python -m training.demo.train OUT [--steps N]`.

Every conversation is made anew from its number and seen once. The matrices inside the layers are trained by Muon, the
embedding and the norms by AdamW. Writes `tokenizer.json`, `weights.pt` and `training.json` (the figures) into OUT.
Equal arguments, versions, threads and kind of machine give equal weights.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from training.demo.data import Batch, Data
from training.demo.dialogue import HELD_OUT_FIRST, TRAINING_FIRST
from training.demo.model import Llama, Shape
from training.demo.tokenizer import train_tokenizer

SEED: Final = 20
BATCH_VIEWS: Final = 8
WARM_UP_STEPS: Final = 60
DECAY_SHARE: Final = 0.5
"""The learning rate falls to nothing over the last part of the steps."""
RATE_MUON: Final = 0.012
RATE_ADAM: Final = 3e-3
HELD_OUT_BATCHES: Final = 50
REPORT_STEPS: Final = 100


@dataclass(slots=True)
class Figures:
    """What a training came to. Losses are in nats a learned token; that of training is weighted, the others are not."""

    steps: int
    parameters: int
    conversations: int
    tokens: int
    tokens_learned: int
    loss_training: float
    loss_held_out: float
    loss_held_out_digits: float
    wall_s: float
    cpu_s: float
    threads: int
    torch: str
    machine: str


class Optimiser:
    """Muon for the layers' matrices and AdamW for the rest, on one schedule: warm-up, plateau, linear decay."""

    def __init__(self, model: Llama, steps: int) -> None:
        matrices = [p for name, p in model.named_parameters() if p.dim() == 2 and name.startswith("layers.")]
        others = [p for name, p in model.named_parameters() if not (p.dim() == 2 and name.startswith("layers."))]
        self._both: list[torch.optim.Optimizer] = [
            torch.optim.Muon(matrices, lr=RATE_MUON, weight_decay=0.0, momentum=0.95),
            torch.optim.AdamW(others, lr=RATE_ADAM, betas=(0.9, 0.95), weight_decay=0.0),
        ]
        plateau = steps * (1 - DECAY_SHARE)

        def rate(step: int) -> float:
            return min(1.0, (step + 1) / WARM_UP_STEPS, (steps - step) / (steps - plateau))

        self._rates = [torch.optim.lr_scheduler.LambdaLR(one, rate) for one in self._both]

    def step(self) -> None:
        for optimiser, rate in zip(self._both, self._rates, strict=True):
            optimiser.step()
            rate.step()
            optimiser.zero_grad(set_to_none=True)


def losses_of(model: Llama, batch: Batch) -> Tensor:
    """Cross-entropy of each token that is to be learned."""
    hidden = model.hidden(batch.tokens).flatten(0, 1)[batch.places]
    return functional.cross_entropy(model.head(hidden), batch.targets, reduction="none")


def loss_of(model: Llama, batch: Batch) -> Tensor:
    """The weighted mean, which training lowers."""
    return (losses_of(model, batch) * batch.weights).sum() / batch.weights.sum()


@torch.inference_mode()
def held_out_losses(model: Llama, data: Data) -> tuple[float, float]:
    """Mean loss of all tokens, and of digits alone, on conversations that are never trained on."""
    losses, digits = [], []
    for batch in data.batches(HELD_OUT_FIRST, HELD_OUT_BATCHES, BATCH_VIEWS):
        found = losses_of(model, batch)
        losses.append(found)
        digits.append(found[batch.weights > 1])
    return float(torch.cat(losses).mean()), float(torch.cat(digits).mean())


def train(steps: int, threads: int) -> tuple[Llama, Tokenizer, Figures]:
    """Train a model from nothing."""
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(SEED)
    started, cpu_started = time.monotonic(), time.process_time()
    tokenizer = train_tokenizer(TRAINING_FIRST)
    data = Data(tokenizer)
    model = Llama(Shape())
    optimiser = Optimiser(model, steps)
    tokens = learned = 0
    recent: list[float] = []
    for step, batch in enumerate(data.batches(TRAINING_FIRST, steps, BATCH_VIEWS), 1):
        loss = loss_of(model, batch)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        tokens += batch.tokens.numel()
        learned += len(batch.targets)
        recent = [*recent[-99:], float(loss.detach())]
        if step % REPORT_STEPS == 0:
            mean = sum(recent[-REPORT_STEPS:]) / REPORT_STEPS
            print(f"step {step} loss {mean:.4f} {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    held_out, held_out_digits = held_out_losses(model, data)
    figures = Figures(
        steps=steps,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        conversations=steps * BATCH_VIEWS // 2,
        tokens=tokens,
        tokens_learned=learned,
        loss_training=round(sum(recent) / len(recent), 4),
        loss_held_out=round(held_out, 4),
        loss_held_out_digits=round(held_out_digits, 4),
        wall_s=round(time.monotonic() - started, 1),
        cpu_s=round(time.process_time() - cpu_started, 1),
        threads=threads,
        torch=torch.__version__,
        machine=platform.machine(),
    )
    return model, tokenizer, figures


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the demo model.")
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    model, tokenizer, figures = train(arguments.steps, arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(arguments.out / "tokenizer.json"))
    torch.save(model.state_dict(), arguments.out / "weights.pt")
    text = json.dumps(asdict(figures) | {"shape": asdict(model.shape)}, indent=2)
    (arguments.out / "training.json").write_text(text + "\n")
    print(json.dumps(asdict(figures)))


if __name__ == "__main__":
    main()
