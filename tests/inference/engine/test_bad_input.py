"""Bad requests among good ones: each is answered with what is wrong, and the others keep their bits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.inference import toy
from tests.inference.engine.test_engine import make, request, run
from turnwise.inference.engine.engine import Engine
from turnwise.inference.requests.generate_request import GenerateRequest

TEMPLATE = "{% for m in messages %}{{ raise_exception('no') if m.content == 'boom' }}{{ m.content }}{% endfor %}"
LOOP = (
    "{% if special %}<s></s>{% endif %}"
    "{% if loop_for %}{% for a in range(10000) %}{% for b in range(10000) %}x{% endfor %}{% endfor %}{% endif %}"
)
USER = {"role": "user", "content": "hi"}

BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "no prompt": ({}, "refused", "exactly one of prompt"),
    "an empty prompt": ({"prompt": ""}, "refused", "prompt must not be empty"),
    "special tokens only": ({"prompt": "<s></s><s>"}, "refused", "holds special tokens only"),
    "a template that gives special tokens only": (
        {"messages": [{"role": "user", "content": ""}], "template": {"special": True}},
        "refused",
        "holds special tokens only",
    ),
    "a template that gives nothing": (
        {"messages": [{"role": "user", "content": ""}]},
        "refused",
        "the prompt has no text",
    ),
    "a template that raises": ({"messages": [{"role": "user", "content": "boom"}]}, "refused", "these messages: no"),
    "a template that loops": ({"messages": [USER], "template": {"loop_for": True}}, "refused", "units of work"),
    "10,000 stop strings": ({"prompt": "a", "stop": ["x"] * 10_000}, "refused", "stop has 10000 entries, at most 16"),
    "a stop string of 10,000 characters": ({"prompt": "a", "stop": ["x" * 10_000]}, "refused", "stop[0]"),
    "a context that is full": ({"prompt": "a" * 600}, "context_full", "the model's context 512"),
    "more tokens than fit": ({"prompt": "a", "tokens_max": 511}, "context_full", "tokens_max can be 510 at most"),
    "a conversation that cannot be cut": (
        {"messages": [USER, {"role": "user", "content": "x" * 600}], "on_full": "drop_oldest"},
        "context_full",
        "the prompt has 601 tokens",
    ),
    "a schema that is none": ({"prompt": "a", "json_schema": {"type": 3}}, "refused", "json_schema is not a grammar"),
    "an expression that is none": ({"prompt": "a", "regex": "[z-a]"}, "refused", "regex is not a grammar"),
    "a grammar that allows nothing": ({"prompt": "a", "lark": "start: a\na: a"}, "refused", "grammar cannot go on"),
    "a token that is none": ({"prompt": "a", "logit_bias": {"ab": 1}}, "refused", "not the text of one token"),
    "a temperature of another kind": ({"prompt": "a", "temperature": "hot"}, "refused", "temperature must be a number"),
}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = toy.write_folder(
        tmp_path_factory.mktemp("model"),
        toy.attention_graph(),
        configuration=toy.config(16, 2, context_length=512),
        tokenizer_config={"chat_template": LOOP + TEMPLATE},
    )
    return make(folder)


def good(number: int) -> GenerateRequest:
    body: dict[str, Any] = {"prompt": "some words " * (number + 1), "temperature": 1.0, "tokens_max": 12, "logprobs": 1}
    return request(number, stream=number, **body)


@pytest.fixture(scope="module")
def alone(engine: Engine) -> dict[int, Any]:
    return {number: run(engine, good(number))[number] for number in (0, 2)}


@pytest.mark.parametrize("name", BAD)
def test_it_is_answered_and_the_others_keep_their_bits(engine: Engine, alone: dict[int, Any], name: str) -> None:
    body, kind, message = BAD[name]
    replies = run(engine, good(0), request(1, **body), good(2))
    error = replies[1]["error"]
    assert error["kind"] == kind
    assert message in error["message"]
    assert len(error["message"]) < 400
    assert {number: replies[number] for number in (0, 2)} == alone


def test_all_at_once(engine: Engine, alone: dict[int, Any]) -> None:
    bad = [request(number, **body) for number, (body, _, _) in enumerate(BAD.values(), 3)]
    replies = run(engine, good(0), *bad, good(2))
    assert {number: replies[number] for number in (0, 2)} == alone
    assert [replies[item.id]["error"]["kind"] for item in bad] == [kind for _, kind, _ in BAD.values()]


def test_all_at_once_where_the_cache_grows(tmp_path: Path) -> None:
    table = np.random.default_rng(3).standard_normal((toy.VOCABULARY, toy.VOCABULARY)).astype(np.float32)
    table[:, toy.END] = -100.0
    folder = toy.write_folder(
        tmp_path,
        toy.bigram_graph(table),
        configuration=toy.config(context_length=512),
        tokenizer_config={"chat_template": LOOP + TEMPLATE},
    )
    engine = make(folder)
    fine = [good(0), good(2)]
    alone = {item.id: run(engine, item)[item.id] for item in fine}
    bad = [request(number, **body) for number, (body, _, _) in enumerate(BAD.values(), 3)]
    replies = run(engine, fine[0], *bad, fine[1])
    assert {item.id: replies[item.id] for item in fine} == alone
    assert [replies[item.id]["error"]["kind"] for item in bad] == [kind for _, kind, _ in BAD.values()]


def test_messages_that_look_like_special_tokens_are_no_matter_to_others(engine: Engine, alone: dict[int, Any]) -> None:
    forged = request(1, messages=[{"role": "user", "content": "a</s><s>b"}], tokens_max=5)
    whole = run(engine, forged)[1]
    assert whole["ok"]["prompt_tokens"] == 1 + len("a</s><s>b")
    replies = run(engine, good(0), forged, good(2))
    assert replies == {0: alone[0], 1: whole, 2: alone[2]}


def test_logits_that_are_no_numbers_in_mid_answer(tmp_path: Path) -> None:
    table = np.random.default_rng(5).standard_normal((toy.VOCABULARY, toy.VOCABULARY)).astype(np.float32)
    table[:, toy.END] = -100.0
    table[ord("q") + toy.BYTES_FROM] = np.nan
    engine = make(toy.write_folder(tmp_path, toy.bigram_graph(table)))
    fine = request(1, prompt="a", tokens_max=20, regex="[a-p]*", temperature=1.0)
    whole = run(engine, fine)[1]
    replies = run(engine, request(0, prompt="a", regex="[b-d]{3}q[r-z]*", temperature=1.0, logprobs=2), fine)
    assert replies[1] == whole
    assert replies[0]["error"]["message"].startswith("the model gave no usable logits for token 4:")


def test_logits_that_are_no_numbers_where_a_grammar_leaves_no_choice(tmp_path: Path) -> None:
    """Nothing is chosen from them, but log probabilities are asked for."""
    table = np.random.default_rng(5).standard_normal((toy.VOCABULARY, toy.VOCABULARY)).astype(np.float32)
    table[:, toy.END] = -100.0
    table[ord("q") + toy.BYTES_FROM] = np.nan
    engine = make(toy.write_folder(tmp_path, toy.bigram_graph(table)))
    fine = request(1, prompt="a", tokens_max=20, regex="[a-p]*", temperature=1.0)
    forced = {"prompt": "a", "regex": "[b-d]{3}qrstuvw"}
    replies = run(engine, request(0, **forced, logprobs=2), fine, request(2, **forced))
    assert replies[1] == run(engine, fine)[1]
    assert replies[0]["error"] == {
        "kind": "refused",
        "message": "the model gave no usable logits for token 4: the largest logit is nan",
    }
    assert replies[2]["ok"]["text"].endswith("qrstuvw")


@pytest.mark.parametrize("stop", ["lo wo", "é!", "😀", "\nEND"])
def test_stop_strings_across_tokens_and_whole_characters(tmp_path: Path, stop: str) -> None:
    """Every token is a byte, so each of these stop strings, and each character beyond ASCII, takes several."""
    text = "hello world, né! a 😀 b\nEND more"
    engine = make(
        toy.write_folder(
            tmp_path,
            toy.bigram_graph(np.zeros((toy.VOCABULARY,) * 2, np.float32)),
            configuration=toy.config(context_length=256),
        )
    )
    body = {"prompt": "x", "lark": f"start: {json.dumps(text, ensure_ascii=False)}", "stop": [stop]}
    reply = run(engine, request(0, **body))[0]["ok"]  # which checks that the pieces are the text
    assert (reply["text"], reply["finish"]) == (text[: text.index(stop)], "stop")
    for tokens_max in range(1, len(text.encode())):
        cut = run(engine, request(0, **body, tokens_max=tokens_max))[0]["ok"]["text"]
        assert text.startswith(cut)
