from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.inference import graphs, toy
from turnwise.errors import ModelError
from turnwise.inference.folders.task import task_of
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.requests.embed_request import EmbedRequest
from turnwise.inference.requests.generate_request import GenerateReply
from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.tensor_models.embedder import Embedder, load_embedder
from turnwise.inference.tensor_models.graph_engine import GraphEngine
from turnwise.inference.tensor_models.tensor_arrays import array_over


def load(path: Path) -> Embedder:
    return load_embedder(ModelSpec("e", path, "cpu")).embedder


def vectors(embedder: Embedder, *texts: str, **more: Any) -> NDArray[np.float32]:
    engine = GraphEngine(embedder.model)
    engine.submit(embedder.job(EmbedRequest(1, "e", graphs.embed_body("e", texts, **more))))
    while engine.pending:
        for answer in engine.step():
            assert not isinstance(answer, GenerateReply), answer
            return array_over(answer.tensors["vectors"]).copy()
    raise AssertionError("no answer")


def rows_of(text: str) -> NDArray[np.float64]:
    return graphs.table_of()[[byte + toy.BYTES_FROM for byte in text.encode()]].astype(np.float64)


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("mean_tokens", lambda rows: rows.mean(axis=0)),
        ("cls_token", lambda rows: rows[0]),
        ("max_tokens", lambda rows: rows.max(axis=0)),
        ("lasttoken", lambda rows: rows[-1]),
    ],
)
def test_pooling_is_the_models_own(tmp_path: Path, pooling: str, expected: Any) -> None:
    plain = load(graphs.write_encoder(tmp_path / "plain", pooling=pooling, normalise=False))
    unit = load(graphs.write_encoder(tmp_path / "unit", pooling=pooling))
    for text in ("a cat", "x", "größer"):
        wanted = expected(rows_of(text))
        assert np.allclose(vectors(plain, text)[0], wanted, atol=1e-6)
        assert np.allclose(vectors(unit, text)[0], wanted / np.linalg.norm(wanted), atol=1e-6)


def test_a_folder_that_says_nothing_is_pooled_by_the_mean(tmp_path: Path) -> None:
    embedder = load(graphs.write_encoder(tmp_path / "e", pooling=None))
    assert np.allclose(vectors(embedder, "abc")[0], rows_of("abc").mean(axis=0), atol=1e-6)


def test_a_graph_that_pools_by_itself_is_taken_at_its_word(tmp_path: Path) -> None:
    embedder = load(graphs.write_encoder(tmp_path / "e", graphs.encoder_graph(pooled=True), normalise=False))
    assert np.allclose(vectors(embedder, "abc")[0], rows_of("abc").sum(axis=0), atol=1e-6)


def test_a_vector_depends_on_its_text_alone(tmp_path: Path) -> None:
    embedder = load(graphs.write_encoder(tmp_path / "e"))
    texts = [f"{word} {number}" for number in range(30) for word in ("one", "two", "a longer one")]
    alone = [vectors(embedder, text)[0].tobytes() for text in texts]
    assert [vector.tobytes() for vector in vectors(embedder, *texts)] == alone


def test_a_text_that_is_too_long(tmp_path: Path) -> None:
    embedder = load(graphs.write_encoder(tmp_path / "e", max_position_embeddings=16))
    with pytest.raises(Refusal) as caught:
        vectors(embedder, "ok", "x" * 17)
    assert caught.value.kind == "context_full"
    assert caught.value.message == "texts[1] has 17 tokens, the model takes 16: shorten it, or say truncate"
    assert vectors(embedder, "x" * 17, truncate=True).tobytes() == vectors(embedder, "x" * 16).tobytes()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"texts": []}, "texts must be a list of at least one text"),
        ({"texts": "abc"}, "texts must be a list"),
        ({"texts": ["a", 3]}, "texts[1] must be text"),
        ({"texts": [""]}, "texts[0] is empty"),
        ({"texts": ["x"] * 1025}, "texts has 1025 entries"),
        ({"texts": ["x" * (1 << 22), "y"]}, "more than 4,194,304 characters in all"),
        ({"truncate": 1}, "truncate must be true or false"),
        ({"prompt": "x"}, 'unknown key "prompt"'),
    ],
)
def test_requests_that_make_no_sense(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    embedder = load(graphs.write_encoder(tmp_path / "e"))
    body = json.dumps({"effect": "embed", "model": "e", "texts": ["a"]} | change)
    with pytest.raises(Refusal) as caught:
        embedder.job(EmbedRequest(1, "e", body))
    assert words in caught.value.message


def test_half_a_character_is_refused(tmp_path: Path) -> None:
    embedder = load(graphs.write_encoder(tmp_path / "e"))
    with pytest.raises(Refusal, match="surrogate"):
        embedder.job(EmbedRequest(1, "e", json.dumps({"effect": "embed", "model": "e", "texts": ["\ud800"]})))


def modules(*kinds: str) -> str:
    return json.dumps([{"type": f"sentence_transformers.models.{kind}", "path": "1_Pooling"} for kind in kinds])


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("modules.json", modules("Transformer", "Pooling", "Dense"), "has a module 'Dense'"),
        ("modules.json", "{", "The file is damaged"),
        (
            "1_Pooling/config.json",
            '{"pooling_mode_cls_token":true,"pooling_mode_mean_tokens":true}',
            "cls_token and pool",
        ),
        ("1_Pooling/config.json", '{"pooling_mode":"weightedmean"}', "weightedmean"),
        ("1_Pooling/config.json", "{}", "of no kind"),
        ("modules.json", json.dumps([{"type": "Pooling", "path": "../.."}]), "not inside the model folder"),
        ("config.json", '{"max_position_embeddings":0}', "max_position_embeddings is 0"),
        ("tokenizer.json", "{}", "is not a tokenizer"),
    ],
)
def test_folders_that_cannot_be_used(tmp_path: Path, file: str, content: str, words: str) -> None:
    path = graphs.write_encoder(tmp_path / "e", pooling="mean_tokens")
    (path / file).write_text(content)
    with pytest.raises(ModelError, match=words):
        load(path)


def test_graphs_that_are_no_encoders(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="the graph takes x"):
        load(graphs.write_encoder(tmp_path / "a", graphs.dense_graph()))
    graph = graphs.encoder_graph()
    graph.outputs = [toy.value("mask", toy.FLOAT, ["batch"])]
    with pytest.raises(ModelError, match="no output that is a vector"):
        load(graphs.write_encoder(tmp_path / "b", graph))


def test_the_task_shows_in_what_lies_there(tmp_path: Path) -> None:
    def task(path: Path, **config: Any) -> str:
        if config:
            (path / "config.json").write_text(json.dumps(config))
        return task_of(ModelSpec("m", path))

    folder = graphs.write_encoder(tmp_path / "e")
    assert task(folder) == "embed"
    (folder / "modules.json").unlink()
    assert task(folder) == "embed"
    assert task(folder, architectures=["LlamaForCausalLM"]) == "generate"
    assert task(folder, architectures=["GPT2LMHeadModel"]) == "generate"
    assert task(folder, architectures=5) == "generate"
    assert task(toy.write_folder(tmp_path / "g")) == "generate"
    graph = graphs.write_graph(tmp_path / "x.onnx", graphs.dense_graph())
    assert task(graph) == "infer"
    assert task(tmp_path / "none") == "generate"
    assert task_of(ModelSpec("m", graph, task="generate")) == "generate"
