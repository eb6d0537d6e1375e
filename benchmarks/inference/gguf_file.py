"""The matrices of an onnxruntime-genai folder as a GGUF file for llama.cpp: the same values of 4 bits.

Both divide the same values by the same rule, so that blocks are only packed otherwise.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import safetensors.numpy

from inference.models import BLOCK, Shape


def _q4_0(tensors: dict[str, np.ndarray], name: str) -> np.ndarray:
    """A matrix as rows of Q4_0 blocks: the scale, then 16 bytes that hold values i and i + 16."""
    if any(key.startswith(f"{name}.MatMul.weight_") and "zero" in key for key in tensors):
        raise SystemExit(f"{name} has zero points: Q4_0 has none")
    packed = tensors[f"{name}.MatMul.weight_Q4"]
    rows, blocks, size = packed.shape
    values = np.stack([packed & 15, packed >> 4], axis=-1).reshape(rows, -1, BLOCK)
    scales = tensors[f"{name}.MatMul.weight_scales"].reshape(rows, blocks).astype(np.float16)
    scales = scales.repeat(2 * size // BLOCK, axis=1)[..., None]
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


def write_gguf(shape: Shape, tensors: dict[str, np.ndarray], weights: Path, path: Path) -> None:
    """`tensors` are those of the graph; norms and biases come from the folder `weights`."""
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
