"""Random weights, as transformers writes them, and the folders that onnxruntime-genai's builder makes of them.

The row of the end token is zero: its logit is 0, never the greatest, so that no answer ends early. What the layers add
is made large beside the embedding: otherwise the head, which is the embedding, would answer every token with itself,
whatever the layers computed. And attention is made sharp, so that an answer depends on single tokens of its prompt.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import torch
import transformers

from inference.models import FORMS, Shape
from inference.words import words


@contextmanager
def random_weights(shape: Shape, base: Path) -> Iterator[Path]:
    """A folder that goes away: it is larger than what is made of it, and soon made. Always the same weights."""
    base.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=base) as name:
        weights = Path(name)
        _save_weights(shape, weights)
        yield weights


def _save_weights(shape: Shape, folder: Path) -> None:
    torch.manual_seed(5)
    end = shape.vocabulary - 1
    config = transformers.Qwen2Config(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=shape.context,
        rms_norm_eps=shape.epsilon,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_base},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=end,
    )
    model = transformers.Qwen2ForCausalLM(config)
    with torch.no_grad():
        model.model.embed_tokens.weight[end] = 0
        for name, value in model.named_parameters():
            if name.endswith("_proj.bias"):
                value.normal_(0, 0.02)
            elif name.endswith(("o_proj.weight", "down_proj.weight")):
                value.mul_(25)
            elif name.endswith(("q_proj.weight", "k_proj.weight")):
                value.normal_(0, 1.5 / shape.hidden**0.5)
    model.save_pretrained(folder)
    # What this saves has one more token, which it adds: it is replaced.
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words(shape.vocabulary), eos_token=f"t{end}")
    tokenizer.save_pretrained(folder)


def build(weights: Path, target: Path, shape: Shape, form: str) -> None:
    """An onnxruntime-genai folder, with a tokenizer of words."""
    precision, options = FORMS[form]
    command = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-m", "bench", "-i", str(weights)]
    command += ["-o", str(target), "-p", precision, "-e", "cpu", "-c", str(weights / "cache")]
    if options:
        command += ["--extra_options", *(f"{key}={value}" for key, value in options.items())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"onnxruntime-genai's builder failed:\n{done.stderr[-3000:]}")
    words(shape.vocabulary).save(str(target / "tokenizer.json"))


def round_scales(folder: Path) -> dict[str, np.ndarray]:
    """Round the graph's scales to half precision; its tensors by name."""
    path, data = folder / "model.onnx", folder / "model.onnx.data"
    model = onnx.load(path)
    tensors = {}
    for tensor in model.graph.initializer:
        value = onnx.numpy_helper.to_array(tensor)
        if tensor.name.endswith("_scales"):
            value = value.astype(np.float16).astype(np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(value, tensor.name))
        tensors[tensor.name] = value
    data.unlink()
    onnx.save(model, path, save_as_external_data=True, location=data.name, size_threshold=1024)
    return tensors
