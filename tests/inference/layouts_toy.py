"""A small model in each layout that the story models come in, so that a clone without those tests all layouts.

Its weights are random, so it tells no stories, but its folder is laid out as theirs: the same convention of files, the
same operators, a tokenizer of the same kind, a context and end tokens like theirs. `numpy_decoder` knows its answers.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.inference import pieces_toy, toy
from tests.inference.forms_toy import Form, form_graph

FORMS = {
    "genai-fp32": Form("grouped", positions=False),
    "genai-int4": Form("grouped", "int4", block=16, accuracy=4, positions=False),
    "genai-int4-acc1": Form("grouped", "int4", block=16, accuracy=1, positions=False),
    "genai-mha-fp32": Form("multihead"),
    "hf-fp32": Form("decomposed"),
}
CONTEXT_LENGTH = 512
ENDS = (pieces_toy.BOS, pieces_toy.END)
LAYERS, HIDDEN, HEADS, KV_HEADS, HEAD_SIZE = 2, 128, 4, 2, 32
CHAT_TEMPLATE = "{{ bos_token }}{% for message in messages %}{{ message['content'] }}{% endfor %}"


def story_layout(layout: str, stories: Path | None, folder: Path) -> Path:
    """Return the story model in `layout`, or where there are none a small model of the same form, written to `folder`.

    `stories` is the folder of the story models.
    """
    if stories is not None:
        return stories / f"stories260k-{layout}"
    form = FORMS[layout]
    tokenizer = pieces_toy.piece_tokenizer()
    vocabulary = tokenizer.get_vocab_size()
    graph = form_graph(
        form,
        layers=LAYERS,
        hidden=HIDDEN,
        heads=HEADS,
        kv_heads=KV_HEADS,
        head_size=HEAD_SIZE,
        bias=bias(vocabulary),
    )
    folder.mkdir(parents=True, exist_ok=True)
    if layout.startswith("genai"):
        (folder / "model.onnx").write_bytes(graph)
        (folder / "genai_config.json").write_text(json.dumps(_genai_config(form, vocabulary)))
    else:
        (folder / "onnx").mkdir()
        (folder / "onnx" / "model.onnx").write_bytes(graph)
        (folder / "config.json").write_text(json.dumps(_optimum_config(vocabulary)))
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"add_bos_token": True, "bos_token": "<s>", "eos_token": "</s>", "chat_template": CHAT_TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def bias(vocabulary: int) -> NDArray[np.float64]:
    """Ends are less likely than pieces of text, and single bytes come only where a grammar or a bias wants them."""
    added = np.zeros(vocabulary)
    added[: pieces_toy.BYTES_FROM + 256] = -12
    added[list(ENDS)] = -2
    return added


def _genai_config(form: Form, vocabulary: int) -> dict[str, object]:
    configuration = toy.config(
        HEAD_SIZE,
        HEADS if form.attention == "multihead" else KV_HEADS,
        type="llama",
        bos_token_id=pieces_toy.BOS,
        eos_token_id=list(ENDS),
        context_length=CONTEXT_LENGTH,
        vocab_size=vocabulary,
    )
    decoder = configuration["model"]["decoder"]
    decoder |= {"hidden_size": HIDDEN, "num_attention_heads": HEADS, "num_hidden_layers": LAYERS}
    decoder["inputs"] |= {f"past_{kind}_names": f"past_key_values.%d.{kind}" for kind in ("key", "value")}
    decoder["outputs"] |= {f"present_{kind}_names": f"present.%d.{kind}" for kind in ("key", "value")}
    if form.positions:
        decoder["inputs"]["position_ids"] = "position_ids"
    return configuration


def _optimum_config(vocabulary: int) -> dict[str, object]:
    return {
        "model_type": "llama",
        "vocab_size": vocabulary,
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD_SIZE,
        "max_position_embeddings": CONTEXT_LENGTH,
        "bos_token_id": pieces_toy.BOS,
        "eos_token_id": list(ENDS),
    }
