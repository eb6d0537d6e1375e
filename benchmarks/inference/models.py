"""A model with random weights, as an onnxruntime-genai folder and as a GGUF file: the same 4-bit values in both.

transformers makes the weights, onnxruntime-genai's builder the graph (blocks of 32, accuracy level 4). Its scales are
then rounded to half precision, the type that Q4_0 has for them, and its blocks are written as Q4_0 blocks, which
divide the same 32 values by the same rule. The embedding is the head, in both. The row of the end token is zero: its
logit is 0, never the greatest, so that no answer ends early. What the layers add is made large beside the embedding:
otherwise the head, which is the embedding, would answer every token with itself, whatever the layers computed. And
attention is made sharp, so that an answer depends on single tokens of its prompt.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import onnx
import onnx.numpy_helper
import safetensors.numpy
import torch
import transformers

from inference.words import words

BLOCK = 32


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

COMPARED = "int4, level 4, blocks of 32"
"""The form that has the same values as the GGUF file."""


@dataclass(frozen=True, slots=True)
class Paths:
    genai: Path
    gguf: Path


def make(shape: Shape, folder: Path) -> Paths:
    """The files, made once."""
    base = folder / shape.name
    paths = Paths(base / "genai", base / "q4_0.gguf")
    if not paths.gguf.exists():
        with _weights(shape, base) as weights:
            shutil.rmtree(paths.genai, ignore_errors=True)
            _build(weights, paths.genai, COMPARED)
            words(shape.vocabulary).save(str(paths.genai / "tokenizer.json"))
            unfinished = base / "unfinished.gguf"
            _gguf(shape, _round_scales(paths.genai), weights, unfinished)
        unfinished.rename(paths.gguf)
    return paths


def make_form(shape: Shape, folder: Path, form: str) -> Path:
    """The same weights in another form, made once: an onnxruntime-genai folder."""
    base = folder / shape.name
    target = base / form.replace(", ", "-").replace(" ", "-")
    if not target.exists():
        unfinished = base / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        with _weights(shape, base) as weights:
            _build(weights, unfinished, form)
        words(shape.vocabulary).save(str(unfinished / "tokenizer.json"))
        unfinished.rename(target)
    return target


@contextmanager
def _weights(shape: Shape, base: Path) -> Iterator[Path]:
    """A folder as transformers writes it, which goes away: it is larger than what is made of it, and soon made."""
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


def _build(weights: Path, target: Path, form: str) -> None:
    precision, options = FORMS[form]
    command = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-m", "bench", "-i", str(weights)]
    command += ["-o", str(target), "-p", precision, "-e", "cpu", "-c", str(weights / "cache")]
    if options:
        command += ["--extra_options", *(f"{key}={value}" for key, value in options.items())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"onnxruntime-genai's builder failed:\n{done.stderr[-3000:]}")


def _round_scales(folder: Path) -> dict[str, np.ndarray]:
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


def _q4_0(tensors: dict[str, np.ndarray], name: str) -> np.ndarray:
    """A matrix as rows of Q4_0 blocks: the scale, then 16 bytes that hold values i and i + 16."""
    if any(key.startswith(f"{name}.MatMul.weight_") and "zero" in key for key in tensors):
        raise SystemExit(f"{name} has zero points: Q4_0 has none")
    packed = tensors[f"{name}.MatMul.weight_Q4"]
    rows, blocks, _ = packed.shape
    values = np.stack([packed & 15, packed >> 4], axis=-1).reshape(rows, blocks, BLOCK)
    scales = tensors[f"{name}.MatMul.weight_scales"].reshape(rows, blocks, 1).astype(np.float16)
    halves = values[..., : BLOCK // 2] | values[..., BLOCK // 2 :] << 4
    return np.concatenate([scales.view(np.uint8), halves], axis=-1).reshape(rows, -1)


def _words(shape: Shape, writer: gguf.GGUFWriter) -> None:
    """A word for each id, as `words` has; a server wants to write what it answers."""
    end = shape.vocabulary - 1
    kinds = [gguf.TokenType.NORMAL] * end + [gguf.TokenType.CONTROL]
    writer.add_vocab_size(shape.vocabulary)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([f"\u2581t{number}" for number in range(shape.vocabulary)])
    writer.add_token_scores([0.0] * shape.vocabulary)
    writer.add_token_types(kinds)
    writer.add_eos_token_id(end)
    writer.add_bos_token_id(end)
    writer.add_add_bos_token(False)


def _gguf(shape: Shape, tensors: dict[str, np.ndarray], weights: Path, path: Path) -> None:
    plain = {}
    for file in sorted(weights.glob("*.safetensors")):
        plain |= safetensors.numpy.load_file(file)
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.inner)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_rope_freq_base(shape.rope_base)
    _words(shape, writer)

    def matrix(name: str, rows: np.ndarray) -> None:
        writer.add_tensor(f"{name}.weight", rows, raw_dtype=gguf.GGMLQuantizationType.Q4_0)

    matrix("token_embd", _q4_0(tensors, "lm_head"))
    writer.add_tensor("output_norm.weight", plain["model.norm.weight"])
    head = shape.hidden // shape.heads
    parts = np.cumsum([shape.heads * head, shape.kv_heads * head])
    for layer in range(shape.layers):
        source, target = f"model.layers.{layer}", f"blk.{layer}"
        queries, keys, values = np.split(_q4_0(tensors, f"{source}.attn.qkv_proj"), parts)
        for name, rows in (("q", queries), ("k", keys), ("v", values)):
            matrix(f"{target}.attn_{name}", np.ascontiguousarray(rows))
            writer.add_tensor(f"{target}.attn_{name}.bias", plain[f"{source}.self_attn.{name}_proj.bias"])
        matrix(f"{target}.attn_output", _q4_0(tensors, f"{source}.attn.o_proj"))
        for name in ("gate", "up", "down"):
            matrix(f"{target}.ffn_{name}", _q4_0(tensors, f"{source}.mlp.{name}_proj"))
        writer.add_tensor(f"{target}.attn_norm.weight", plain[f"{source}.input_layernorm.weight"])
        writer.add_tensor(f"{target}.ffn_norm.weight", plain[f"{source}.post_attention_layernorm.weight"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
