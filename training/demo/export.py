"""Writes a trained model as a folder in onnxruntime-genai's layout: `python -m training.demo.export TRAINED FOLDER`.

The graph has the nodes and the names that onnxruntime-genai's own model builder gives a Llama in fp32: packed
projections into GroupQueryAttention with rotary positions inside, the KV cache as inputs and outputs, a tied head.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from training.demo.model import Llama, Shape, rotary_tables
from training.demo.tokenizer import BEGIN, BEGIN_ID, END, END_ID, UNKNOWN, UNKNOWN_ID

OPSET: Final = 22
IR_VERSION: Final = 10
CHAT_TEMPLATE: Final = (
    "{{ bos_token }}{% for message in messages %}{{ message['content'] }}"
    "{% if not loop.last %}{{ '\\n' }}{% endif %}{% endfor %}"
)


class _Graph:
    """Nodes and weights, as they are added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def node(self, kind: str, inputs: Sequence[str], output: str, *, domain: str = "", **attributes: Any) -> str:
        return self.nodes_with(kind, inputs, [output], domain=domain, **attributes)

    def nodes_with(
        self, kind: str, inputs: Sequence[str], outputs: Sequence[str], *, domain: str = "", **attributes: Any
    ) -> str:
        name = outputs[0].rpartition("/")[0] or outputs[0]
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=name, domain=domain, **attributes))
        return outputs[0]

    def weight(self, name: str, values: NDArray[Any]) -> str:
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def linear(self, state: str, path: str, matrix: torch.Tensor) -> str:
        """`matrix` is [out, in], as PyTorch keeps it."""
        weight = self.weight(f"{path.lstrip('/').replace('/', '.')}.MatMul.weight", matrix.numpy().T)
        return self.node("MatMul", [state, weight], f"{path}/MatMul/output_0")


def graph_of(model: Llama) -> onnx.ModelProto:
    """The model as an ONNX graph."""
    shape = model.shape
    weights = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    graph = _Graph()
    lengths = _lengths(graph)
    cosine, sine = rotary_tables(shape)
    graph.weight("cos_cache", cosine.numpy())
    graph.weight("sin_cache", sine.numpy())
    head = graph.weight("lm_head.MatMul.weight", weights["embed_tokens.weight"].numpy().T)
    table = graph.node("Transpose", [head], "/model/embed_tokens/Transpose/output_0", perm=[1, 0])
    state = graph.node("Gather", [table, "input_ids"], "/model/embed_tokens/Gather/output_0")
    added: str | None = None
    for number in range(shape.layers):
        state, added = _layer(graph, shape, weights, number, state, added, lengths)
    normed, _ = _norm(graph, shape, "/model/norm", weights["norm.weight"], state, added, more=False)
    graph.nodes_with("MatMul", [normed, head], ["logits"])
    inputs, outputs = _signature(shape)
    made = helper.make_graph(graph.nodes, "turnwise-demo", inputs, outputs, graph.weights)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(made, opset_imports=opsets, ir_version=IR_VERSION, producer_name="turnwise")


def _lengths(graph: _Graph) -> list[str]:
    """What GroupQueryAttention wants to know: each row's last position, and the length of the longest row."""
    base = "/model/attn_mask_reformat/attn_mask_subgraph"
    axes = graph.weight("/model/constants/INT64/[1]", np.array([1], np.int64))
    one = graph.weight("/model/constants/INT64/1", np.array(1, np.int64))
    total = graph.node("ReduceSum", ["attention_mask", axes], f"{base}/ReduceSum/output_0", keepdims=0)
    last = graph.node("Sub", [total, axes], f"{base}/Sub/output_0")
    rows = graph.node("Cast", [last], f"{base}/Sub/Cast/output_0", to=TensorProto.INT32)
    sizes = graph.node("Shape", ["attention_mask"], f"{base}/Shape/output_0")
    longest = graph.node("Gather", [sizes, one], f"{base}/Gather/output_0", axis=0)
    return [rows, graph.node("Cast", [longest], f"{base}/Gather/Cast/output_0", to=TensorProto.INT32)]


def _layer(
    graph: _Graph,
    shape: Shape,
    weights: dict[str, torch.Tensor],
    number: int,
    state: str,
    added: str | None,
    lengths: Sequence[str],
) -> tuple[str, str]:
    """One layer. Returns the state and what the next norm adds to it."""
    path, mine = f"/model/layers.{number}", f"layers.{number}"
    normed, state = _norm(
        graph, shape, f"{path}/input_layernorm", weights[f"{mine}.input_layernorm.weight"], state, added
    )
    packed = torch.cat([weights[f"{mine}.self_attn.{name}_proj.weight"] for name in "qkv"])
    projected = graph.linear(normed, f"{path}/attn/qkv_proj", packed)
    past = [f"past_key_values.{number}.key", f"past_key_values.{number}.value"]
    mixed = graph.nodes_with(
        "GroupQueryAttention",
        [projected, "", "", *past, *lengths, "cos_cache", "sin_cache"],
        [f"{path}/attn/GroupQueryAttention/output_0", f"present.{number}.key", f"present.{number}.value"],
        domain="com.microsoft",
        num_heads=shape.heads,
        kv_num_heads=shape.kv_heads,
        scale=shape.head_size**-0.5,
        local_window_size=-1,
        do_rotary=1,
        rotary_interleaved=0,
    )
    attended = graph.linear(mixed, f"{path}/attn/o_proj", weights[f"{mine}.self_attn.o_proj.weight"])
    after = f"{path}/post_attention_layernorm"
    normed, state = _norm(graph, shape, after, weights[f"{mine}.post_attention_layernorm.weight"], state, attended)
    gate = graph.linear(normed, f"{path}/mlp/gate_proj", weights[f"{mine}.mlp.gate_proj.weight"])
    up = graph.linear(normed, f"{path}/mlp/up_proj", weights[f"{mine}.mlp.up_proj.weight"])
    opened = graph.node("Sigmoid", [gate], f"{path}/mlp/act_fn/Sigmoid/output_0")
    opened = graph.node("Mul", [gate, opened], f"{path}/mlp/act_fn/Mul/output_0")
    product = graph.node("Mul", [opened, up], f"{path}/mlp/Mul/output_0")
    return state, graph.linear(product, f"{path}/mlp/down_proj", weights[f"{mine}.mlp.down_proj.weight"])


def _norm(
    graph: _Graph,
    shape: Shape,
    path: str,
    weight: torch.Tensor,
    state: str,
    added: str | None,
    *,
    more: bool = True,
) -> tuple[str, str]:
    """RMSNorm of `state + added`. Returns what it gives and, for the layers that come (`more`), the sum."""
    scale = graph.weight(f"{path.lstrip('/').replace('/', '.')}.weight", weight.numpy())
    if added is None:
        output = f"{path}/LayerNorm/output_0"
        graph.node("SimplifiedLayerNormalization", [state, scale], output, axis=-1, epsilon=shape.epsilon, stash_type=1)
        return output, state
    outputs = [f"{path}/SkipLayerNorm/output_0"] + (["", "", f"{path}/SkipLayerNorm/output_3"] if more else [])
    graph.nodes_with(
        "SkipSimplifiedLayerNormalization",
        [state, added, scale],
        outputs,
        domain="com.microsoft",
        epsilon=shape.epsilon,
    )
    return outputs[0], outputs[-1]


def _signature(shape: Shape) -> tuple[list[onnx.ValueInfoProto], list[onnx.ValueInfoProto]]:
    def cache(name: str, length: str) -> list[onnx.ValueInfoProto]:
        sizes: list[str | int | None] = ["batch_size", shape.kv_heads, length, shape.head_size]
        return [
            helper.make_tensor_value_info(f"{name}.{number}.{part}", TensorProto.FLOAT, sizes)
            for number in range(shape.layers)
            for part in ("key", "value")
        ]

    def index(name: str, length: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.INT64, ["batch_size", length])

    inputs = [index("input_ids", "sequence_length"), index("attention_mask", "total_sequence_length")]
    logits = helper.make_tensor_value_info(
        "logits", TensorProto.FLOAT, ["batch_size", "sequence_length", shape.vocabulary]
    )
    return (
        [*inputs, *cache("past_key_values", "past_sequence_length")],
        [logits, *cache("present", "total_sequence_length")],
    )


def genai_config(shape: Shape) -> dict[str, Any]:
    """What onnxruntime-genai, and whoever reads its layout, wants to know of the graph."""
    return {
        "model": {
            "bos_token_id": BEGIN_ID,
            "context_length": shape.context,
            "decoder": {
                "session_options": {"log_id": "onnxruntime-genai", "provider_options": []},
                "filename": "model.onnx",
                "head_size": shape.head_size,
                "hidden_size": shape.width,
                "inputs": {
                    "input_ids": "input_ids",
                    "attention_mask": "attention_mask",
                    "past_key_names": "past_key_values.%d.key",
                    "past_value_names": "past_key_values.%d.value",
                },
                "outputs": {
                    "logits": "logits",
                    "present_key_names": "present.%d.key",
                    "present_value_names": "present.%d.value",
                },
                "num_attention_heads": shape.heads,
                "num_hidden_layers": shape.layers,
                "num_key_value_heads": shape.kv_heads,
            },
            "eos_token_id": END_ID,
            "pad_token_id": UNKNOWN_ID,
            "type": "llama",
            "vocab_size": shape.vocabulary,
        },
        "search": {
            "do_sample": False,
            "max_length": shape.context,
            "min_length": 0,
            "num_beams": 1,
            "num_return_sequences": 1,
            "past_present_share_buffer": True,
            "repetition_penalty": 1.0,
            "temperature": 1.0,
            "top_k": 50,
            "top_p": 1.0,
        },
    }


def config(shape: Shape) -> dict[str, Any]:
    """The same for whoever reads Hugging Face's `config.json`."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.width,
        "intermediate_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_size,
        "hidden_act": "silu",
        "max_position_embeddings": shape.context,
        "rms_norm_eps": shape.epsilon,
        "rope_theta": shape.rope_theta,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "bos_token_id": BEGIN_ID,
        "eos_token_id": END_ID,
        "pad_token_id": UNKNOWN_ID,
        "torch_dtype": "float32",
    }


def tokenizer_config(shape: Shape) -> dict[str, Any]:
    """How the tokenizer is used: every prompt begins with BOS, once."""
    special = {
        str(number): {
            "content": text,
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": True,
        }
        for number, text in ((UNKNOWN_ID, UNKNOWN), (BEGIN_ID, BEGIN), (END_ID, END))
    }
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": BEGIN,
        "eos_token": END,
        "unk_token": UNKNOWN,
        "pad_token": UNKNOWN,
        "added_tokens_decoder": special,
        "clean_up_tokenization_spaces": False,
        "model_max_length": shape.context,
        "chat_template": CHAT_TEMPLATE,
    }


def load_trained(trained: Path) -> Llama:
    """The model that `train` has written."""
    shape = Shape(**json.loads((trained / "training.json").read_text())["shape"])
    model = Llama(shape)
    model.load_state_dict(torch.load(trained / "weights.pt", weights_only=True))
    return model.eval()


def export(trained: Path, folder: Path) -> None:
    """Write the model folder."""
    model = load_trained(trained)
    graph = graph_of(model)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(graph.SerializeToString(deterministic=True))
    (folder / "tokenizer.json").write_bytes((trained / "tokenizer.json").read_bytes())
    for name, content in {
        "genai_config.json": genai_config(model.shape),
        "config.json": config(model.shape),
        "tokenizer_config.json": tokenizer_config(model.shape),
    }.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a trained model as a model folder.")
    parser.add_argument("trained", type=Path, help="folder that the training has written")
    parser.add_argument("folder", type=Path, help="the model folder to write")
    arguments = parser.parse_args()
    export(arguments.trained, arguments.folder)


if __name__ == "__main__":
    main()
