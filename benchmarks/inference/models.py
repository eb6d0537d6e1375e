"""A model with random weights, as an onnxruntime-genai folder and as a GGUF file: the same 4-bit values in both.

transformers makes the weights, onnxruntime-genai's builder the graph (blocks of 32 or 128, accuracy level 4). Its
scales are then rounded to half precision, the type that Q4_0 has for them, and its blocks are written as Q4_0 blocks,
of which four have the scale of one block of 128. The embedding is the head, in both. What is made is kept, and
packages that make it are not needed any more.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

BLOCK = 32
"""Values of a Q4_0 block."""
BLOCKS = (BLOCK, 128)


@dataclass(frozen=True, slots=True)
class Shape:
    """Of a Qwen2 decoder."""

    name: str
    vocabulary: int
    hidden: int
    inner: int
    layers: int
    heads: int
    kv_heads: int
    context: int = 4096
    rope_base: float = 1_000_000.0
    epsilon: float = 1e-6


FULL = Shape("qwen2.5-0.5b", 151_936, 896, 4864, 24, 14, 2)
QUICK = Shape("quick", 4096, 128, 256, 2, 4, 2)


FORMS = {
    "fp32": ("fp32", {}),
    "int4, level 4, blocks of 32": ("int4", {"block_size": BLOCK, "accuracy_level": 4}),
    "int4, level 4, blocks of 128": ("int4", {"block_size": 128, "accuracy_level": 4}),
    "int4, level 1, blocks of 32": ("int4", {"block_size": BLOCK, "accuracy_level": 1}),
}
"""The builder's precision and options, by name."""


def compared(block: int) -> str:
    """The form that has the same values as the GGUF file."""
    return f"int4, level 4, blocks of {block}"


@dataclass(frozen=True, slots=True)
class Paths:
    genai: Path
    gguf: Path


def make(shape: Shape, folder: Path, block: int) -> Paths:
    """The files, made once."""
    base = folder / (shape.name if block == BLOCK else f"{shape.name}-blocks-of-{block}")
    paths = Paths(base / "genai", base / "q4_0.gguf")
    if not paths.gguf.exists():
        from inference.gguf_file import write_gguf
        from inference.weights import build, random_weights, round_scales

        with random_weights(shape, base) as weights:
            shutil.rmtree(paths.genai, ignore_errors=True)
            build(weights, paths.genai, shape, compared(block))
            unfinished = base / "unfinished.gguf"
            write_gguf(shape, round_scales(paths.genai), weights, unfinished)
        unfinished.rename(paths.gguf)
    return paths


def make_form(shape: Shape, folder: Path, form: str) -> Path:
    """The same weights in another form, made once: an onnxruntime-genai folder."""
    base = folder / shape.name
    target = base / form.replace(", ", "-").replace(" ", "-")
    if not target.exists():
        from inference.weights import build, random_weights

        unfinished = base / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        with random_weights(shape, base) as weights:
            build(weights, unfinished, shape, form)
        unfinished.rename(target)
    return target
