"""Builds toy models of many architectures by the real builder, with what transformers says they should answer.

    python tests/inference/tools/build_models.py OUTPUT [ARCHITECTURE …]

Needs torch, transformers, onnx and onnxruntime-genai; imports nothing of Turnwise. Weights are random but always the
same. Each folder `OUTPUT/<architecture>-<precision>` is a model, and its `reference.json` holds prompts, the tokens
that a plain fp32 greedy decode by transformers gives, and its logits after the prompt and each token.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

VOCABULARY = 288
TOKENS = 258
LAYERS = 4
PROMPTS = (5, 40, 90)
NEW_TOKENS = 12
SCALE = 0.12
"""Standard deviation of the weights: large enough that the likeliest token is seldom in doubt."""

BUILDER = """
import runpy, sys
import onnxruntime_genai.models
sys.path.insert(0, onnxruntime_genai.models.__path__[0])
from builders.base import Model

plain = Model.make_rope_init

def make_rope_init(self, config):
    kinds = config.rope_parameters
    if "full_attention" not in kinds:
        return plain(self, config)
    config.rope_theta = self.rope_attrs["theta"] = kinds["full_attention"]["rope_theta"]
    config.rope_local_base_freq = kinds["sliding_attention"]["rope_theta"]

Model.make_rope_init = make_rope_init
runpy.run_module("onnxruntime_genai.models.builder", run_name="__main__", alter_sys=True)
"""
"""The builder. Version 0.18 does not know that transformers 5 has rope parameters by kinds of layers for Gemma 3."""

PRECISIONS = {"fp32": [], "int4": ["block_size=32", "accuracy_level=4"]}

_COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
    "initializer_range": SCALE,
    "tie_word_embeddings": False,
}
_WINDOWED = ["sliding_attention", "full_attention"] * (LAYERS // 2)

ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {}),
    "llama-tied-mha": ("Llama", {"tie_word_embeddings": True, "num_key_value_heads": 4, "eos_token_id": [1, 7, 9]}),
    "smollm": ("Llama", {"num_attention_heads": 3, "num_key_value_heads": 1, "hidden_size": 96, "head_dim": 32}),
    "mistral": ("Mistral", {"head_dim": 32, "sliding_window": None}),
    "qwen2": ("Qwen2", {"tie_word_embeddings": True}),
    "qwen3": ("Qwen3", {"head_dim": 32}),
    "phi3": ("Phi3", {"original_max_position_embeddings": 256}),
    "phi4-mini": (
        "Phi3",
        {
            "original_max_position_embeddings": 256,
            "partial_rotary_factor": 0.5,
            "head_dim": 32,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "tie_word_embeddings": True,
        },
    ),
    "gemma": ("Gemma", {"head_dim": 32, "num_key_value_heads": 1, "tie_word_embeddings": True}),
    "gemma2": (
        "Gemma2",
        {
            "head_dim": 32,
            "query_pre_attn_scalar": 24,
            "sliding_window": 16,
            "layer_types": _WINDOWED,
            "attn_logit_softcapping": 5.0,
            "final_logit_softcapping": 10.0,
            "tie_word_embeddings": True,
        },
    ),
    "gemma3": (
        "Gemma3",
        {
            "head_dim": 32,
            "query_pre_attn_scalar": 24,
            "sliding_window": 16,
            "layer_types": _WINDOWED,
            "tie_word_embeddings": True,
        },
    ),
}
"""The builder writes no window into graphs of Mistral and Phi-3, so theirs have none; SmolLM3 it cannot build."""


def configuration(name: str) -> Any:
    import transformers

    family, changes = ARCHITECTURES[name]
    kind = "Gemma3Text" if family == "Gemma3" else family
    made = getattr(transformers, f"{kind}Config")(**(_COMMON | changes))
    made.architectures = [f"{family}ForCausalLM"]
    return made


def write_tokenizer(path: Path) -> None:
    """Tokens are bytes, as in the other toy models."""
    import tokenizers
    import transformers

    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters = {byte: chr(byte) for byte in shown}
    letters |= {byte: chr(256 + index) for index, byte in enumerate(sorted(set(range(256)) - set(shown)))}
    vocabulary = {"<s>": 0, "</s>": 1} | {letters[byte]: byte + 2 for byte in range(256)}
    inner = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = tokenizers.decoders.ByteLevel()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>")
    fast.save_pretrained(path)


def reference(model: Any) -> list[dict[str, Any]]:
    """Greedy continuations, each step computed anew from all tokens: no cache that could be wrong."""
    import torch

    found = []
    for number, length in enumerate(PROMPTS):
        prompt = [(7 * place * place + 31 * place + 5 * number) % (TOKENS - 2) + 2 for place in range(length)]
        ids, logits = list(prompt), []
        with torch.no_grad():
            for _ in range(NEW_TOKENS):
                row = model(torch.tensor([ids]), use_cache=False).logits[0, -1]
                logits.append([round(float(value), 5) for value in row])
                ids.append(int(row.argmax()))
        found.append({"prompt": prompt, "tokens": ids[length:], "logits": logits})
    return found


def build(name: str, output: Path) -> None:
    import torch
    import transformers

    torch.manual_seed(sum(name.encode()))
    torch.set_num_threads(2)
    made = configuration(name)
    model = transformers.AutoModelForCausalLM.from_config(made, attn_implementation="eager", dtype=torch.float32).eval()
    with torch.no_grad():  # norms are made of ones: something that can be wrong
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    source = output / f"{name}-source"
    model.save_pretrained(source)
    write_tokenizer(source)
    answers = reference(model)
    for precision, extra in PRECISIONS.items():
        folder = output / f"{name}-{precision}"
        command = [sys.executable, "-c", BUILDER]
        command += ["-i", str(source), "-o", str(folder), "-p", precision, "-e", "cpu", "-c", str(output / "cache")]
        if extra:
            command += ["--extra_options", *extra]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
        if ended.returncode:
            raise SystemExit(f"the builder fails for {folder.name}:\n{ended.stdout[-3000:]}\n{ended.stderr[-3000:]}")
        (folder / "reference.json").write_text(json.dumps(answers))


def main() -> int:
    output = Path(sys.argv[1])
    output.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[2:] or ARCHITECTURES:
        build(name, output)
        print(name, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
