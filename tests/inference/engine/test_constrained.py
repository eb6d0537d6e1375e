"""Answers of models under grammars, penalties and bias, and what is told of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.inference import toy
from tests.inference.engine.test_engine import ask, make, refuse, request, run
from tests.inference.forms_toy import Attention, Form, write_form
from turnwise.inference.engine.engine import Engine
from turnwise.inference.requests.generate_request import TextPiece

OFFER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "say": {"type": "string", "maxLength": 20},
        "price": {"type": "integer", "minimum": 1, "maximum": 99},
        "deal": {"enum": ["yes", "no"]},
    },
    "required": ["say", "price", "deal"],
    "additionalProperties": False,
}

FORMS: tuple[Attention, ...] = ("grouped", "multihead")


@pytest.fixture
def chatter(tmp_path: Path) -> Engine:
    """A model of bytes that says anything, its end included."""
    table = np.random.default_rng(3).standard_normal((toy.VOCABULARY, toy.VOCABULARY)).astype(np.float32)
    return make(toy.write_folder(tmp_path, toy.bigram_graph(table), configuration=toy.config(context_length=1024)))


@pytest.fixture(params=["demo", "genai-int4", "genai-mha-fp32"])
def stories(request: pytest.FixtureRequest) -> Engine:
    """A model with a vocabulary of pieces: the trained one that comes along, and two of which weights are random."""
    if request.param == "demo":
        return make(request.getfixturevalue("demo_model"))
    return make(request.getfixturevalue("in_layout")(request.param))


def check_offer(answer: dict[str, Any]) -> None:
    if answer["finish"] == "end":
        value = json.loads(answer["text"])
        assert list(value) == ["say", "price", "deal"]
        assert len(value["say"]) <= 20
        assert 1 <= value["price"] <= 99
        assert value["deal"] in ("yes", "no")
    else:
        assert answer["finish"] == "length"
        assert answer["text"].startswith('{"say":"'[: len(answer["text"])])


class TestToyVocabulary:
    def test_json(self, chatter: Engine) -> None:
        body: dict[str, Any] = {"prompt": "a", "json_schema": OFFER, "tokens_max": 300, "temperature": 1.0}
        replies = run(chatter, *[request(number, stream=number, **body) for number in range(12)])
        answers = [dict(reply["ok"]) for reply in replies.values()]
        for answer in answers:
            check_offer(answer)
            assert answer["finish"] == "end"
        assert len({answer["text"] for answer in answers}) == 12
        assert run(chatter, request(5, stream=5, **body))[5] == replies[5]

    @pytest.mark.parametrize("regex", ["(ja|nein), [a-f]{3,9}[.!]", "日本語?[一二三]{2}", "[0-9]{4}-[01][0-9]", "é*è"])
    def test_regex(self, chatter: Engine, regex: str) -> None:
        for stream in range(4):
            body: dict[str, Any] = {"prompt": "a", "regex": regex, "temperature": 2.0, "tokens_max": 60}
            reply = run(chatter, request(0, stream=stream, **body))[0]["ok"]
            assert reply["finish"] == "end" or regex == "é*è"
            assert reply["finish"] != "end" or re.fullmatch(regex, reply["text"])

    def test_the_end_is_only_where_the_grammar_allows_it(self, tmp_path: Path) -> None:
        table = toy.chain_table(b"abc")  # ends after c at the latest
        table[:, toy.END] += 5.0
        engine = make(toy.write_folder(tmp_path, toy.bigram_graph(table)))
        assert ask(engine, prompt="c")["text"] == ""
        assert ask(engine, prompt="c", regex="x{5}") == {
            "text": "xxxxx",
            "finish": "end",
            "tokens": 5,
            "prompt_tokens": 2,
        }
        assert ask(engine, prompt="c", regex="x{2,5}")["text"] == "xx"

    def test_what_is_cut_off(self, chatter: Engine) -> None:
        assert ask(chatter, prompt="a", regex="[a-z]{10}", tokens_max=4)["finish"] == "length"
        answer = ask(chatter, prompt="a", regex="(ab){10}", stop=["ba"])
        assert (answer["text"], answer["finish"]) == ("a", "stop")

    def test_a_grammar_that_is_refused_leaves_the_others_alone(self, chatter: Engine) -> None:
        good = request(1, prompt="a", regex="[a-z]{5}", temperature=1.0)
        alone = run(chatter, good)[1]
        replies = run(chatter, request(0, prompt="a", regex="(("), good, request(2, prompt="a", lark="start: x"))
        assert replies[1] == alone
        assert "unclosed group" in replies[0]["error"]["message"]
        assert replies[2]["error"]["kind"] == "refused"

    def test_a_grammar_that_gets_too_costly_ends_that_request_alone(
        self, chatter: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("turnwise.inference.sampling.grammar.LARK_COMBINED_MAX", 16)
        regex = "start: A\nA: " + " & ".join(f"/.*{letter}.*/" for letter in "abcdefghijklmnopq")
        good = request(1, prompt="a", regex="[a-z]{50}", temperature=1.0)
        alone = run(chatter, good)[1]
        costly = [request(number, stream=number, prompt="a", lark=regex, temperature=9.0) for number in (0, 2)]
        replies = run(chatter, costly[0], good, costly[1])
        assert replies[1] == alone
        for item in costly:
            assert "the grammar cannot go on" in replies[item.id]["error"]["message"]
            assert run(chatter, item)[item.id] == replies[item.id]

    def test_bias_by_text_and_by_number(self, chatter: Engine) -> None:
        assert ask(chatter, prompt="a", tokens_max=6, logit_bias={"q": 100})["text"] == "qqqqqq"
        assert ask(chatter, prompt="a", tokens_max=6, logit_bias={str(ord("7") + 2): 100})["text"] == "777777"
        (free,) = ask(chatter, prompt="a", tokens_max=1, logprobs=0)["logprobs"]
        (other,) = ask(chatter, prompt="a", tokens_max=1, logprobs=0, logit_bias={str(free["id"]): -100})["logprobs"]
        assert other["id"] != free["id"]
        assert ask(chatter, prompt="a", logit_bias={"</s>": 100})["finish"] == "end"
        assert "not the text of one token" in refuse(chatter, prompt="a", logit_bias={"qq": 1})[1]
        assert refuse(chatter, prompt="a", logit_bias={"258": 1})[1] == (
            "logit_bias has token 258, and the last of the model is 257"
        )

    def test_penalties(self, tmp_path: Path) -> None:
        table = np.tile(np.linspace(0.0, 5.0, toy.VOCABULARY, dtype=np.float32), (toy.VOCABULARY, 1))
        engine = make(toy.write_folder(tmp_path, toy.bigram_graph(table)))
        text = bytes(range(255, 245, -1))
        bytes_of = {"logprobs": 0, "tokens_max": 10, "prompt": "a"}

        def ids(**body: Any) -> list[int]:
            return [item["id"] for item in ask(engine, **bytes_of, **body)["logprobs"]]

        assert ids() == [257] * 10
        assert ids(presence_penalty=5.0) == [byte + 2 for byte in text]
        assert ids(repetition_penalty=10.0) == [byte + 2 for byte in text]
        assert ids(presence_penalty=-1.0, logit_bias={"200": 3.0}) == [200] * 10

    def test_log_probabilities(self, chatter: Engine) -> None:
        body: dict[str, Any] = {"prompt": "a", "tokens_max": 8, "temperature": 1.0}
        plain = ask(chatter, **body)
        told = ask(chatter, **body, logprobs=3)
        assert {key: value for key, value in told.items() if key != "logprobs"} == plain
        assert len(told["logprobs"]) == told["tokens"]
        for item in told["logprobs"]:
            assert len(item["top"]) == 3
            assert all(other["logprob"] >= item["logprob"] for other in item["top"] if other["id"] != item["id"]) or (
                item["id"] in [other["id"] for other in item["top"]]
            )
        greedy = ask(chatter, prompt="a", tokens_max=8, logprobs=1)
        assert [item["id"] for item in greedy["logprobs"]] == [item["top"][0]["id"] for item in greedy["logprobs"]]
        constrained = ask(chatter, prompt="a", tokens_max=8, regex="z{8}", logprobs=20)
        assert [item["text"] for item in constrained["logprobs"]] == ["z"] * 8
        assert constrained["logprobs"][0]["top"][0]["logprob"] > constrained["logprobs"][0]["logprob"]

    def test_too_many_log_probabilities(self, tmp_path: Path) -> None:
        configuration = toy.config(context_length=100_000)
        engine = make(toy.write_folder(tmp_path, configuration=configuration))
        assert refuse(engine, prompt="a", tokens_max=50_000, logprobs=20) == (
            "refused",
            "logprobs of 20 alternatives and tokens_max 50000 could make 1050000 entries, at most 262144 are allowed: "
            "ask for fewer of either",
        )


class TestStories:
    def test_json(self, stories: Engine) -> None:
        body: dict[str, Any] = {"prompt": "Tom wants to buy a ball. ", "json_schema": OFFER, "tokens_max": 100}
        replies = run(stories, *[request(number, stream=number, temperature=number / 4, **body) for number in range(8)])
        for reply in replies.values():
            check_offer(dict(reply["ok"]))
        assert sum(reply["ok"]["finish"] == "end" for reply in replies.values()) >= 6

    def test_regex_and_lark(self, stories: Engine) -> None:
        for stream in range(4):
            body: dict[str, Any] = {"prompt": "Once upon a time", "temperature": 1.0}
            text = run(stories, request(0, stream=stream, regex="( [a-z]+){3}[.]", **body))[0]["ok"]
            assert text["finish"] == "length" or re.fullmatch("( [a-z]+){3}[.]", text["text"])
            text = run(stories, request(0, stream=stream, lark='start: ", the " ("cat" | "dog") " é!"', **body))[0][
                "ok"
            ]
            assert text["text"] in (", the cat é!", ", the dog é!")

    def test_a_grammar_that_says_what_the_model_says_changes_nothing(self, stories: Engine) -> None:
        body: dict[str, Any] = {"prompt": "Once upon a time", "tokens_max": 40, "temperature": 0.8}
        free = ask(stories, **body)
        assert ask(stories, **body, regex="(.|\n)*") == free

    def test_a_bias_finds_pieces_and_bytes(self, stories: Engine) -> None:
        answer = ask(stories, prompt="Once", tokens_max=20, logit_bias={" the": 100})
        assert answer["text"] == " the" * 20
        answer = ask(stories, prompt="Once", tokens_max=20, logit_bias={"a": -100, "e": -100}, logprobs=0)
        assert all(item["text"] not in ("a", "e") for item in answer["logprobs"])

    def test_log_probabilities_are_the_models_own(self, stories: Engine) -> None:
        body: dict[str, Any] = {"prompt": "Once upon a time", "tokens_max": 5, "logprobs": 2}
        greedy = ask(stories, **body)
        assert ask(stories, **body, temperature=5.0, top_k=1) == greedy
        assert "".join(item["text"] for item in greedy["logprobs"]) == greedy["text"]

    def test_with_log_probabilities_what_is_forced_has_the_bits_of_what_is_said_freely(self, stories: Engine) -> None:
        """Then each token is a step of its own: a run of several has other bits."""
        body: dict[str, Any] = {"prompt": "Once upon a time", "tokens_max": 5, "logprobs": 5}
        free = ask(stories, **body)
        forced = ask(stories, **body, regex=re.escape(free["text"]))
        assert forced["text"] == free["text"]
        assert forced["logprobs"] == free["logprobs"]

    def test_log_probabilities_change_nothing(self, stories: Engine) -> None:
        schema = {**OFFER, "properties": {**OFFER["properties"], "say": {"enum": ["I buy it", "I do not"]}}}
        for stream in range(4):
            body: dict[str, Any] = {"prompt": "Tom wants to buy a ball. ", "json_schema": schema, "temperature": 1.0}
            plain = run(stories, request(0, stream=stream, **body))[0]["ok"]
            told = dict(run(stories, request(0, stream=stream, logprobs=0, **body))[0]["ok"])
            assert len(told.pop("logprobs")) == plain["tokens"]
            assert told == plain


class TestForced:
    """What a grammar leaves no choice about is taken at once; `attentive` appends it in one run."""

    @pytest.fixture
    def attentive(self, tmp_path: Path) -> Engine:
        return make(toy.write_attention_folder(tmp_path, context_length=512))

    def runs(self, engine: Engine) -> int:
        return engine.statistics().steps + engine.statistics().extensions

    def test_fewer_runs(self, attentive: Engine) -> None:
        answer = ask(attentive, prompt="a", regex="Hello [xy]ou, how are [zw]ell[?!]")
        assert re.fullmatch("Hello [xy]ou, how are [zw]ell[?!]", answer["text"])
        assert answer["tokens"] == len(answer["text"]) == 24
        assert answer["prompt_tokens"] == 2
        assert attentive.statistics().tokens == 24
        # After the prompt with "Hello ": "[xy]ou, how are ", "[zw]ell", and the end is chosen from what that gives.
        assert (attentive.statistics().extensions, attentive.statistics().steps) == (2, 0)
        assert attentive.statistics().prompt_tokens == 2 + len("Hello ")

    def test_few_tokens_are_steps(self, attentive: Engine) -> None:
        assert re.fullmatch("[ab]x[cd]", ask(attentive, prompt="a", regex="[ab]x[cd]")["text"])
        assert (attentive.statistics().extensions, attentive.statistics().steps) == (0, 2)

    @pytest.mark.parametrize("text", ["Hello", "日本語", "x" * 300])
    def test_what_is_forced_to_its_end_needs_no_model(self, attentive: Engine, text: str) -> None:
        answer = ask(attentive, prompt="a", regex=text[:64], tokens_max=400)
        assert answer["text"] == text[:64]
        assert answer["finish"] == "end"
        assert (self.runs(attentive), attentive.statistics().prompt_tokens) == (0, 0)

    def test_it_is_cut_off_as_anything_else(self, attentive: Engine) -> None:
        assert ask(attentive, prompt="a", regex="Hello world", tokens_max=4) == {
            "text": "Hell",
            "finish": "length",
            "tokens": 4,
            "prompt_tokens": 2,
        }
        answer = ask(attentive, prompt="a", regex="[ab] then Hello world", stop=["lo w"])
        assert (answer["text"][1:], answer["finish"], answer["tokens"]) == (" then Hel", "stop", 14)
        answer = ask(attentive, prompt="a", regex="[ab]日本語[cd]", tokens_max=6)
        assert (answer["text"][1:], answer["finish"], answer["tokens"]) == ("日", "length", 6)
        answer = ask(attentive, prompt="a", regex="[ab] and so on", tokens_max=10)
        assert (answer["text"][1:], answer["finish"]) == (" and so o", "length")

    def test_pieces_of_text_make_up_the_answer(self, attentive: Engine) -> None:
        attentive.submit(request(3, prompt="a", regex="Hello [xy]ou, 日本語[zw]!", stop=["!!"]))
        pieces = []
        while attentive.pending:
            for event in attentive.step():
                if isinstance(event, TextPiece):
                    pieces.append(event.text)
                else:
                    assert json.loads(event.body)["ok"]["text"] == "".join(pieces)
        assert pieces[0] == "Hello "

    def test_penalties_count_it(self, attentive: Engine) -> None:
        """`x` is forced twelve times, so it does not come where there is a choice."""
        body: dict[str, Any] = {"prompt": "a", "regex": "[xy]x{12}[xy]{20}"}
        answer = ask(attentive, **body, presence_penalty=100)["text"]
        assert answer.startswith("yxxxxxxxxxxxxy") or answer[0] == "x"
        assert ask(attentive, **body, logit_bias={"y": 50}, presence_penalty=100)["text"][13] == "y"

    def test_it_can_be_cancelled_before_it_is_told(self, attentive: Engine) -> None:
        attentive.submit(request(1, prompt="a", regex="Hello"))
        attentive.cancel(1)
        assert attentive.step() == []

    def test_forms_that_take_one_token_at_a_time_give_the_same_tokens(self, tmp_path: Path) -> None:
        answers = []
        for attention in FORMS:
            engine = make(write_form(tmp_path / attention, Form(attention), kv_heads=4))
            answers.append(ask(engine, prompt="Tom wants to buy a ball. ", json_schema=OFFER, tokens_max=100))
            assert (engine.statistics().extensions > 0) == (attention == "grouped")
        assert answers[0] == answers[1]
