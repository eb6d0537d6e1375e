from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.inference import toy
from tests.inference.layouts_toy import ENDS
from tests.inference.numpy_decoder import likeliest
from turnwise.core.canonical import canonical
from turnwise.errors import InvariantError
from turnwise.inference.engine.engine import Engine, EngineStatistics
from turnwise.inference.engine.load import load_model
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest, TextPiece

ALPHABET = b"abcdefghijklmnopqrstuvwxyz"


def make(path: Path) -> Engine:
    return Engine(load_model(ModelSpec("m", path, "cpu")))


@pytest.fixture
def alphabet(tmp_path: Path) -> Engine:
    return make(toy.write_folder(tmp_path))


def request(number: int = 0, *, stream: int = 0, **body: Any) -> GenerateRequest:
    return GenerateRequest(number, "m", canonical(body), bytes([stream]) * 32)


def run(engine: Engine, *requests: GenerateRequest) -> dict[int, Mapping[str, Any]]:
    """Replies by number; the pieces of each are checked to be its text."""
    for item in requests:
        engine.submit(item)
    pieces: dict[int, str] = {}
    replies: dict[int, Mapping[str, Any]] = {}
    while engine.pending:
        for event in engine.step():
            if isinstance(event, TextPiece):
                assert event.text
                pieces[event.id] = pieces.get(event.id, "") + event.text
            else:
                replies[event.id] = json.loads(event.body)
                told = None if event.tokens is None else len(event.tokens)
                assert told == replies[event.id].get("ok", {}).get("tokens")
    for number, reply in replies.items():
        assert reply.get("ok", {}).get("text", "") == pieces.get(number, "") or "error" in reply
    return replies


def ask(engine: Engine, **body: Any) -> Mapping[str, Any]:
    reply = run(engine, request(**body))[0]
    assert "ok" in reply, reply
    return dict(reply["ok"])


def refuse(engine: Engine, **body: Any) -> tuple[str, str]:
    reply = run(engine, request(**body))[0]
    assert "error" in reply, reply
    return reply["error"]["kind"], reply["error"]["message"]


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": "xyzuv"},
        {"prompt": "abc", "tokens_max": 3},
        {"prompt": "abc", "stop": ["h"]},
        {"prompt": "a", "regex": "bcdefgh"},
    ],
    ids=["end", "length", "stop", "forced"],
)
def test_a_reply_tells_the_tokens_that_its_text_is_made_of(tmp_path: Path, body: dict[str, Any]) -> None:
    model = load_model(ModelSpec("m", toy.write_folder(tmp_path), "cpu"))
    engine, replies = Engine(model), []
    engine.submit(request(**body))
    while engine.pending:
        replies += [event for event in engine.step() if isinstance(event, GenerateReply)]
    (reply,) = replies
    assert reply.tokens is not None
    texts = [model.tokenizer.vocabulary(model.ends).token_text(token) for token in reply.tokens]
    text = "".join(texts[:-1] if reply.tokens[-1] in model.ends or "stop" in body else texts)
    assert text == json.loads(reply.body)["ok"]["text"]


def test_what_is_being_generated_can_be_seen_and_is_the_end_of_the_text_so_far(alphabet: Engine) -> None:
    assert alphabet.running_texts(9, 5) == []
    assert alphabet.statistics().kv_bytes == 0
    assert alphabet.statistics().slots > 0
    for number in (2, 1):
        alphabet.submit(request(number, prompt="a", tokens_max=20))
    pieces: dict[int, str] = {}
    seen = []
    while alphabet.pending:
        for event in alphabet.step():
            if isinstance(event, TextPiece):
                pieces[event.id] = pieces.get(event.id, "") + event.text
        for text in alphabet.running_texts(9, 5):
            so_far = pieces.get(text.id, "")
            assert (text.tail, text.cut) == (so_far[-5:], len(so_far) > 5)
            seen.append((text.id, text.tokens))
        running = alphabet.statistics().running
        assert len(alphabet.running_texts(1, 5)) == min(running, 1)
        assert (alphabet.statistics().kv_bytes > 0) == (running > 0)
    assert {(1, 10), (2, 10)} <= set(seen)
    assert alphabet.running_texts(9, 5) == []


def test_it_ends_with_an_end_token(alphabet: Engine) -> None:
    assert ask(alphabet, prompt="xyzuv") == {"text": "wxyz", "finish": "end", "tokens": 5, "prompt_tokens": 6}


def test_it_ends_with_the_length(alphabet: Engine) -> None:
    assert ask(alphabet, prompt="abc", tokens_max=3) == {
        "text": "def",
        "finish": "length",
        "tokens": 3,
        "prompt_tokens": 4,
    }


def test_it_ends_with_a_stop_string(alphabet: Engine) -> None:
    answer = ask(alphabet, prompt="abc", stop=["mno", "klm"])
    assert answer == {"text": "defghij", "finish": "stop", "tokens": 10, "prompt_tokens": 4}
    assert ask(alphabet, prompt="abc", tokens_max=3, stop=["efg"])["text"] == "def"
    assert ask(alphabet, prompt="v", stop=["yzz"]) == {"text": "wxyz", "finish": "end", "tokens": 5, "prompt_tokens": 2}


def test_a_character_that_is_cut_off_is_left_out(tmp_path: Path) -> None:
    engine = make(toy.write_folder(tmp_path, toy.bigram_graph(toy.chain_table("a😀b".encode()))))
    assert ask(engine, prompt="a")["text"] == "😀b"
    assert ask(engine, prompt="a", tokens_max=3)["text"] == ""
    assert ask(engine, prompt="a", tokens_max=4)["text"] == "😀"


def test_sampling_follows_the_stream_alone(tmp_path: Path) -> None:
    table = np.random.default_rng(2).standard_normal((258, 258)).astype(np.float32)
    table[:, toy.END] = -100.0
    engine = make(toy.write_folder(tmp_path, toy.bigram_graph(table)))
    body: dict[str, Any] = {"prompt": "a", "temperature": 0.7, "top_k": 50, "top_p": 0.9, "tokens_max": 30}
    alone = run(engine, request(5, stream=5, **body))[5]
    together = run(engine, *[request(number, stream=number, **body) for number in range(9)])
    assert together[5] == alone
    assert len({reply["ok"]["text"] for reply in together.values()}) == 9


def test_replies_come_in_order_of_number(alphabet: Engine) -> None:
    assert list(run(alphabet, *[request(number, prompt="w") for number in (4, 1, 3)])) == [1, 3, 4]


def test_long_prompts_are_run_in_chunks(tmp_path: Path) -> None:
    engine = make(toy.write_attention_folder(tmp_path))
    reply = ask(engine, prompt="some words " * 30, tokens_max=20)
    assert reply["prompt_tokens"] == 331
    assert reply["tokens"] == 20
    assert engine.statistics().prompt_tokens == 331


def test_the_context_must_leave_room(alphabet: Engine) -> None:
    assert ask(alphabet, prompt="a" * 53, tokens_max=10)["finish"] == "length"
    kind, message = refuse(alphabet, prompt="a" * 54, tokens_max=10)
    assert kind == "context_full"
    assert message == (
        "the prompt has 55 tokens and tokens_max is 10, together more than the model's context of 64: "
        "tokens_max can be 9 at most"
    )
    assert refuse(alphabet, prompt="a" * 64) == (
        "context_full",
        "the prompt has 65 tokens, the model's context 64: shorten the prompt",
    )


def test_what_the_context_leaves_is_the_default_where_that_is_less(tmp_path: Path) -> None:
    engine = make(toy.write_folder(tmp_path, toy.bigram_graph(toy.chain_table(b"aa", end=False))))
    assert ask(engine, prompt="aa")["tokens"] == 61
    assert ask(make(toy.write_attention_folder(tmp_path / "long")), prompt="a")["tokens"] <= 128


@pytest.mark.parametrize("prompt", ["<s>", "</s>", "<s></s><s>"])
def test_a_prompt_of_special_tokens_only(alphabet: Engine, prompt: str) -> None:
    assert refuse(alphabet, prompt=prompt) == (
        "refused",
        "the prompt has no text: it is empty, or holds special tokens only",
    )


def test_a_wrong_request_is_answered_and_the_others_go_on(alphabet: Engine) -> None:
    replies = run(alphabet, request(1, prompt="w"), request(2, prompt="w", tokens_max=-1), request(3, prompt="w"))
    assert replies[1] == replies[3]
    assert replies[2]["error"]["kind"] == "refused"
    assert "tokens_max" in replies[2]["error"]["message"]


def test_logits_that_are_not_numbers_end_that_request_alone(tmp_path: Path) -> None:
    table = toy.chain_table(ALPHABET)
    table[ord("m") + toy.BYTES_FROM, 9] = np.nan
    engine = make(toy.write_folder(tmp_path, toy.bigram_graph(table)))
    replies = run(engine, request(1, prompt="k"), request(2, prompt="w"), request(3, prompt="l", temperature=1.0))
    for number, token in ((1, 2), (3, None)):
        error = replies[number]["error"]
        assert error["kind"] == "refused"
        assert "no usable logits" in error["message"]
        assert token is None or f"for token {token}:" in error["message"]
    assert replies[2]["ok"]["text"] == "xyz"


def test_tokens_that_the_graph_cannot_process_are_refused(tmp_path: Path) -> None:
    """The graph's table ends before the vocabulary that it declares, as a damaged one's may."""
    graph = toy.bigram_graph(toy.chain_table(ALPHABET)[:120])
    engine = make(toy.write_folder(tmp_path, graph))
    replies = run(engine, request(1, prompt="d"), request(2, prompt="t"), request(3, prompt="q", tokens_max=2))
    assert replies[3]["ok"]["text"] == "rs"
    assert replies[2]["error"] == {"kind": "refused", "message": "the model's graph cannot process these tokens"}
    assert replies[1]["error"]["kind"] == "refused"


def test_cancelled_requests_are_not_answered(alphabet: Engine) -> None:
    for number in (1, 2, 3):
        alphabet.submit(request(number, prompt="abc"))
    alphabet.step()
    alphabet.cancel(1)
    alphabet.cancel(3)
    alphabet.cancel(99)
    assert list(run(alphabet)) == [2]
    assert alphabet.statistics().running == 0


def test_a_number_is_open_once(alphabet: Engine) -> None:
    alphabet.submit(request(1, prompt="a"))
    with pytest.raises(InvariantError):
        alphabet.submit(request(1, prompt="a"))


class TestChat:
    TEMPLATE = (
        "{% for m in messages %}{{ raise_exception('no ' + m.role) if m.role == 'x' }}{{ m.content }}{% endfor %}"
    )

    def test_messages_are_rendered(self, tmp_path: Path) -> None:
        engine = make(toy.write_folder(tmp_path, tokenizer_config={"chat_template": "{{ bos_token }}" + self.TEMPLATE}))
        messages = [{"role": "user", "content": "u"}, {"role": "assistant", "content": "v"}]
        answer = ask(engine, messages=messages)
        assert answer == {"text": "wxyz", "finish": "end", "tokens": 5, "prompt_tokens": 3}
        assert refuse(engine, messages=[{"role": "x", "content": "a"}])[1].endswith("refuses these messages: no x")

    def test_bos_is_there_once_whether_the_template_writes_it_or_not(self, tmp_path: Path) -> None:
        engine = make(toy.write_folder(tmp_path, tokenizer_config={"chat_template": self.TEMPLATE}))
        assert ask(engine, messages=[{"role": "user", "content": "uv"}])["prompt_tokens"] == 3

    def test_a_model_without_a_template(self, alphabet: Engine) -> None:
        kind, message = refuse(alphabet, messages=[{"role": "user", "content": "a"}])
        assert (kind, message) == ("refused", "the model has no chat template: give prompt instead of messages")


class TestStories:
    @pytest.fixture
    def reference(self, stories_models: Path) -> dict[str, Any]:
        return dict(json.loads((stories_models / "reference.json").read_text())[0])

    @pytest.mark.parametrize("layout", ["genai-fp32", "genai-mha-fp32", "hf-fp32"])
    def test_a_plain_computation_gives_the_same_tokens(self, in_layout: Callable[[str], Path], layout: str) -> None:
        model = load_model(ModelSpec("m", in_layout(layout), "cpu"))
        prompt = "Once upon a time there was a girl"
        ids = model.tokenizer.encode(prompt)
        answer = ask(Engine(model), prompt=prompt, tokens_max=40, logprobs=0)
        found = [item["id"] for item in answer["logprobs"]]
        assert found == likeliest(layout, ids, found, model.info.vocabulary_size)
        assert found != likeliest(
            "genai-fp32" if layout == "hf-fp32" else "hf-fp32", ids, found, model.info.vocabulary_size
        )
        assert (answer["finish"], answer["tokens"], answer["prompt_tokens"]) == ("length", 40, len(ids))

    @pytest.mark.trained
    @pytest.mark.parametrize("layout", ["genai-fp32", "genai-mha-fp32"])
    def test_the_authors_own_program_gives_the_same_tokens(
        self, stories_models: Path, reference: dict[str, Any], layout: str
    ) -> None:
        model = load_model(ModelSpec("m", stories_models / f"stories260k-{layout}"))
        assert model.tokenizer.encode(reference["prompt"]) == reference["prompt_ids"]
        engine = Engine(model)
        engine.submit(request(prompt=reference["prompt"], tokens_max=reference["max_tokens"]))
        ids: list[int] = []
        while engine.pending:
            sequence = engine._sequences[0]
            before = sequence.tokens
            engine.step()
            if sequence.tokens > before:
                ids += sequence.next
        assert ids == reference["ids"]
        answer = ask(engine, prompt=reference["prompt"], tokens_max=reference["max_tokens"])
        assert answer["text"] == reference["completion"]
        assert (answer["finish"], answer["tokens"], answer["prompt_tokens"]) == ("length", 247, 10)

    @pytest.mark.parametrize("end", ENDS)
    def test_any_of_the_end_tokens_ends_an_answer(self, in_layout: Callable[[str], Path], end: int) -> None:
        engine = make(in_layout("genai-fp32"))
        answer = ask(engine, prompt="Once", tokens_max=20, logit_bias={str(end): 100}, logprobs=0)
        assert (answer["finish"], answer["text"]) == ("end", "")

    @pytest.mark.trained
    def test_a_story_ends_with_any_of_the_end_tokens(self, stories_models: Path) -> None:
        engine = make(stories_models / "stories260k-genai-fp32")
        ends = [
            run(engine, request(0, stream=stream, prompt="Tom slept. The end", temperature=0.5, tokens_max=400))[0]
            for stream in range(3)
        ]
        assert "end" in {reply["ok"]["finish"] for reply in ends}

    def test_a_prompt_of_one_piece_or_of_chunks(
        self, in_layout: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        prompt = "Once upon a time, there was a little girl named Lily. " * 8
        answers = []
        for chunk in (3, 64, 65, 128, 1000):
            monkeypatch.setattr("turnwise.inference.decoding.decoder.CHUNK_TOKENS", chunk)
            answers.append(ask(make(in_layout("genai-fp32")), prompt=prompt, tokens_max=40))
        assert all(answer == answers[0] for answer in answers)

    def test_the_last_position_of_the_context_can_be_used(self, in_layout: Callable[[str], Path]) -> None:
        for layout in ("genai-fp32", "genai-mha-fp32"):
            model = load_model(ModelSpec("m", in_layout(layout), "cpu"))
            engine, context = Engine(model), model.info.context_length
            prompt = "Once upon a time, there was a little girl named Lily. She"
            tokens = ask(engine, prompt=prompt, tokens_max=1)["prompt_tokens"]
            answer = ask(engine, prompt=prompt, tokens_max=context - tokens)
            assert answer["prompt_tokens"] + answer["tokens"] <= context
            assert refuse(engine, prompt=prompt, tokens_max=context + 1 - tokens)[0] == "context_full"

    def test_messages(self, in_layout: Callable[[str], Path]) -> None:
        engine = make(in_layout("genai-fp32"))
        messages = [{"role": "user", "content": "Once upon a time"}]
        assert ask(engine, messages=messages, tokens_max=20) == ask(engine, prompt="Once upon a time", tokens_max=20)


def test_counts_of_nothing_are_nothing() -> None:
    """A model server adds those of the engines that it has had to these."""
    assert set(astuple(EngineStatistics())) == {0}


def test_a_number_is_one_request_for_as_long_as_it_is_open(alphabet: Engine) -> None:
    alphabet.submit(request(7, prompt="a", tokens_max=2))
    with pytest.raises(InvariantError, match="request 7 is open already"):
        alphabet.submit(request(7, prompt="b", tokens_max=2))
    assert run(alphabet)[7]["ok"]["text"] == "bc"
    assert run(alphabet, request(7, prompt="b", tokens_max=2))[7]["ok"]["text"] == "cd"
