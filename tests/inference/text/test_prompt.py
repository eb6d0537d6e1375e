from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.inference import toy
from turnwise.core.canonical import canonical
from turnwise.inference.requests.generate_request import TOKENS_MAX_DEFAULT, ChatMessage, parse
from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.text.chat_template import ChatTemplate
from turnwise.inference.text.prompt import droppable_counts, read_prompt, without_oldest
from turnwise.inference.text.tokenizer import Tokenizer

TOKENIZER = Tokenizer(toy.byte_tokenizer(), toy.BOS)
ROLES = "{% for m in messages %}{{ m.role[0] }}{{ m.content }};{% endfor %}"
STRICT = "{% if messages[0].role == 'assistant' %}{{ raise_exception('no') }}{% endif %}" + ROLES


def prompt(context: int, *messages: str, source: str = ROLES, **request: object) -> tuple[str, int, int]:
    """Messages are written `role's first letter` and content; the prompt's text, its room and what was dropped."""
    roles = {"s": "system", "u": "user", "a": "assistant"}
    items = [{"role": roles[text[0]], "content": text[1:]} for text in messages]
    generation = parse(canonical({"messages": items, **request}))
    read = read_prompt(generation, TOKENIZER, ChatTemplate(source, {}, where="t"), context)
    return bytes(token - 2 for token in read.ids[1:]).decode(), read.tokens_max, read.dropped


def test_as_few_as_will_do_are_dropped() -> None:
    messages = ("sS", "u1", "a2", "u3", "a4", "u5")
    whole = "sS;u1;a2;u3;a4;u5;"
    drop = {"on_full": "drop_oldest", "tokens_max": 3}
    assert prompt(22, *messages, **drop) == (whole, 3, 0)
    assert prompt(21, *messages, **drop) == ("sS;u3;a4;u5;", 3, 2)
    assert prompt(16, *messages, **drop) == ("sS;u3;a4;u5;", 3, 2)
    assert prompt(15, *messages, **drop) == ("sS;u5;", 3, 4)
    assert prompt(10, *messages, source=STRICT, **drop) == ("sS;u5;", 3, 4)
    with pytest.raises(Refusal, match="the prompt has 7 tokens and tokens_max is 3") as caught:
        prompt(9, *messages, **drop)
    assert caught.value.kind == "context_full"


def test_without_being_asked_nothing_is_dropped() -> None:
    with pytest.raises(Refusal) as caught:
        prompt(21, "sS", "u1", "a2", "u3", "a4", "u5", tokens_max=3)
    assert caught.value.kind == "context_full"


def test_the_default_length_is_made_room_for_or_shrinks() -> None:
    long = "u" + "x" * 100
    assert prompt(250, long, "aok", long, on_full="drop_oldest") == (f"u{'x' * 100};", 128, 2)
    assert prompt(150, long, "aok", long, on_full="drop_oldest") == (f"u{'x' * 100};", 47, 2)
    assert prompt(20, "u1", on_full="drop_oldest") == ("u1;", 16, 0)


def test_the_last_message_stays_whoever_it_is_of() -> None:
    assert prompt(10, "u1", "a2", "a3", on_full="drop_oldest", tokens_max=6) == ("a3;", 6, 2)
    assert prompt(30, "s1", "s2", on_full="drop_oldest", tokens_max=6) == ("s1;s2;", 6, 0)


def text_prompt(context: int, text: str, bos: int | None = toy.BOS, **request: object) -> tuple[list[int], int, int]:
    generation = parse(canonical({"prompt": text, **request}))
    read = read_prompt(generation, Tokenizer(toy.byte_tokenizer(), bos), None, context)
    return read.ids, read.tokens_max, read.dropped


@pytest.mark.parametrize("bos", [toy.BOS, None])
def test_of_a_text_the_first_tokens_are_dropped_but_for_bos(bos: int | None) -> None:
    begin = [] if bos is None else [bos]
    whole, room, dropped = text_prompt(40, "abcdefgh", bos, on_full="drop_oldest", tokens_max=4)
    assert (whole[: len(begin)], len(whole), room, dropped) == (begin, len(begin) + 8, 4, 0)
    cut = text_prompt(8 + len(begin), "abcdefgh", bos, on_full="drop_oldest", tokens_max=4)
    assert cut == ([*begin, *whole[-4:]], 4, 4)
    assert text_prompt(10 + len(begin), "abcdefgh", bos, on_full="drop_oldest")[1:] == (9, 7)
    with pytest.raises(Refusal) as caught:
        text_prompt(8 + len(begin), "abcdefgh", bos, tokens_max=4)
    assert caught.value.kind == "context_full"


def test_the_last_token_of_a_text_stays() -> None:
    with pytest.raises(Refusal, match="tokens_max can be 1 at most") as caught:
        text_prompt(3, "abcdefgh", on_full="drop_oldest", tokens_max=3)
    assert caught.value.kind == "context_full"


@given(st.lists(st.sampled_from(["system", "user", "assistant"]), min_size=1, max_size=12))
def test_what_may_be_dropped(roles: list[str]) -> None:
    messages = tuple(ChatMessage(role, str(index)) for index, role in enumerate(roles))
    counts = droppable_counts(messages)
    assert counts[0] == 0
    assert all(left < right for left, right in pairwise(counts))
    for count in counts:
        kept = without_oldest(messages, count)
        assert len(kept) == len(messages) - count
        assert [m for m in kept if m.role == "system"] == [m for m in messages if m.role == "system"]
        others = [m for m in messages if m.role != "system"]
        assert not others or [m for m in kept if m.role != "system"] == others[count:] != []


def test_a_model_without_a_template() -> None:
    generation = parse('{"messages":[{"role":"user","content":"a"}]}')
    with pytest.raises(Refusal, match="no chat template"):
        read_prompt(generation, TOKENIZER, None, 10)


def test_without_tokens_max_there_are_the_usual_ones_or_what_is_left() -> None:
    assert text_prompt(500, "abcdefgh")[1] == TOKENS_MAX_DEFAULT
    assert [text_prompt(length, "abcdefgh")[1] for length in (137, 136, 20, 10)] == [128, 127, 11, 1]
    assert prompt(20, "u1", "a2")[1] == 20 - len("u1;a2;") - 1
    with pytest.raises(Refusal, match="the prompt has 9 tokens, the model's context 9: shorten the prompt"):
        text_prompt(9, "abcdefgh")
