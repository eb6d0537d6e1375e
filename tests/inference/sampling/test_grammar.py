"""Grammars on toy vocabularies; what they do to answers of models is in test_constrained."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.inference import toy
from turnwise.core.canonical import canonical
from turnwise.inference.requests.generate_request import GrammarSource
from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.sampling.grammar import FORCED_TOKENS_MAX, GrammarCompiler, GrammarMatcher
from turnwise.inference.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary(toy.byte_tokenizer(), frozenset({toy.END}))


def begin(kind: Any, text: str) -> GrammarMatcher:
    return GrammarCompiler(VOCABULARY).matcher(GrammarSource(kind, text))


def schema(value: Any) -> GrammarMatcher:
    return begin("json_schema", canonical(value))


def walk(grammar: GrammarMatcher, seed: int, tokens_max: int = 400) -> tuple[str, bool]:
    """The text of tokens chosen at random among those allowed, and whether it came to its end."""
    random = np.random.default_rng(seed)
    written = bytearray()
    for _ in range(tokens_max):
        ids = np.flatnonzero(grammar.allowed(toy.VOCABULARY + 6))
        assert ids.max() < toy.VOCABULARY
        token = int(random.choice(ids))
        grammar.push(token)
        if token == toy.END:
            return written.decode(), True
        assert token >= toy.BYTES_FROM
        written.append(token - toy.BYTES_FROM)
        if grammar.complete:
            return written.decode(), True
    return written.decode(errors="ignore"), False


def walk_ahead(grammar: GrammarMatcher, seed: int, tokens_max: int = 400) -> tuple[str, bool]:
    """As `walk`, but what is forced is taken at once: it must be what a walk could have done, and nothing else."""
    random = np.random.default_rng(seed)
    written = bytearray()
    count = 0
    while count < tokens_max and not grammar.complete:
        forced = grammar.forced()
        assert len(forced) <= FORCED_TOKENS_MAX
        for token in forced:
            allowed = np.flatnonzero(grammar.allowed(toy.VOCABULARY))
            assert allowed.tolist() == [token]  # where every token is a byte
            grammar.push(token)
            written.append(token - toy.BYTES_FROM)
        count += len(forced)
        if grammar.complete:
            break
        ids = np.flatnonzero(grammar.allowed(toy.VOCABULARY))
        assert len(ids) > 1 or toy.END in ids or len(forced) == FORCED_TOKENS_MAX
        token = int(random.choice(ids))
        grammar.push(token)
        count += 1
        if token == toy.END:
            break
        written.append(token - toy.BYTES_FROM)
    return written.decode(errors="ignore"), count < tokens_max


OFFER = {
    "type": "object",
    "properties": {
        "price": {"type": "integer", "minimum": 1, "maximum": 99},
        "deal": {"type": "boolean"},
        "say": {"enum": ["yes", "nö"]},
        "tags": {"type": "array", "items": {"type": "string", "pattern": "^[a-c]{1,2}$"}, "maxItems": 2},
    },
    "required": ["say", "price", "deal"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("seed", range(20))
def test_json_follows_its_schema(seed: int) -> None:
    text, ended = walk(schema(OFFER), seed)
    assert ended
    value = json.loads(text)
    assert list(value)[:3] == ["say", "price", "deal"]
    assert value["say"] in ("yes", "nö")
    assert 1 <= value["price"] <= 99
    assert type(value["deal"]) is bool
    assert all(re.fullmatch("[a-c]{1,2}", tag) for tag in value.get("tags", []))
    assert text == json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["[a-c]{2,4}é?", "(ja|nein)[.!]", "[0-9]{1,3}", "x*", "日本{1,3}語?"]))
def test_text_follows_its_expression(seed: int, regex: str) -> None:
    text, ended = walk(begin("regex", regex), seed)
    assert ended or regex == "x*"
    assert re.fullmatch(regex, text)


@pytest.mark.parametrize("seed", range(5))
def test_lark(seed: int) -> None:
    text, ended = walk(begin("lark", 'start: "bid " NUMBER (" or " NUMBER)?\nNUMBER: /[1-9][0-9]?/'), seed)
    assert ended
    assert re.fullmatch("bid [1-9][0-9]?( or [1-9][0-9]?)?", text)


@pytest.mark.parametrize("seed", range(5))
def test_json_within_lark_has_no_white_space_either(seed: int) -> None:
    grammar = begin("lark", 'start: "offer " %json {"type": "object", "properties": {"b": {"type": "boolean"}}}')
    text, ended = walk(grammar, seed, 60)
    if ended:
        assert text == "offer " + json.dumps(json.loads(text[6:]), separators=(",", ":"), ensure_ascii=False)
    fresh = begin("lark", 'start: %json {"type": "object"}')
    fresh.push(ord("{") + toy.BYTES_FROM)
    assert not fresh.allowed(toy.VOCABULARY)[ord(" ") + toy.BYTES_FROM]


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        ("regex", "((", "unclosed group"),
        ("regex", "(a)\\1", "backreferences are not supported"),
        ("regex", "(" * 1000 + ")" * 1000, "regex"),
        ("lark", "start: foo", 'unknown name: "foo"'),
        ("lark", "start: " + "(" * 2000 + '"a"' + ")" * 2000, "too deeply nested"),
        ("lark", "start: %json {", "%json that is not followed by a JSON schema"),
        ("lark", '%llguidance {"no_forcing": false}\nstart: "a" start', "%llguidance, which is not supported"),
        ("lark", "start: A\nA: " + " & ".join(f"/(a|b)*a.{{{i}}}/" for i in range(6)), "5 of & and ~"),
        ("lark", 'start: %json {"multipleOf": 1000007}', "multipleOf that is too fine"),
        ("json_schema", '{"type":"banana"}', "Invalid type: banana"),
        ("json_schema", '{"not":{}}', "Unimplemented keys"),
        ("json_schema", '{"$ref":"http://example.org/schema"}', "retrieving it failed"),
        ("json_schema", '{"$ref":"file:///etc/passwd"}', "retrieving it failed"),
        ("json_schema", '{"type":"integer","multipleOf":1000007}', "multipleOf that is too fine"),
        ("json_schema", '{"allOf":[{"multipleOf":0.001},{"multipleOf":11}]}', "multipleOf that is too fine"),
        ("json_schema", '{"multipleOf":1e300}', "multipleOf that is too fine"),
        ("json_schema", '{"type":"string","pattern":"' + "a?" * 2049 + '"}', "patterns of 4098 characters"),
        (
            "json_schema",
            '{"allOf":[' + ",".join(f'{{"pattern":"(a|b)*a(a|b){{{i}}}"}}' for i in range(5)) + "]}",
            "5 patterns",
        ),
        ("json_schema", '{"type":"string","x-guidance":{"whitespace_flexible":true}}', "x-guidance"),
        ("json_schema", '{"type":"array","items":' * 500 + "{}" + "}" * 500, "nested deeper than 64 levels"),
    ],
)
def test_what_is_no_grammar_is_refused_with_its_reason(kind: Any, text: str, reason: str) -> None:
    grammars = GrammarCompiler(VOCABULARY)
    messages = set()
    for _ in range(2):  # the second time it is known
        with pytest.raises(Refusal) as caught:
            grammars.matcher(GrammarSource(kind, text))
        messages.add(caught.value.message)
    assert len(messages) == 1
    (message,) = messages
    assert caught.value.kind == "refused"
    assert reason in message
    assert "\n" not in message
    assert len(message) < 400


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("json_schema", '{"type":"number","multipleOf":0.01}'),
        (
            "json_schema",
            '{"$ref":"#/$defs/a0","$defs":{'
            + ",".join(f'"a{i}":{{"$ref":"#/$defs/a{i + 1}"}}' for i in range(300))
            + "}}",
        ),
        ("lark", "start:r0\n" + "\n".join(f"r{i}:r{i + 1}" for i in range(780)) + '\nr780:"a"'),
        ("regex", "a?" * 1024),
    ],
)
def test_the_largest_that_are_allowed_do_no_harm(kind: Any, text: str) -> None:
    """Whether they are followed or refused: the process lives."""
    try:
        walk(begin(kind, text), 0, 10)
    except Refusal as refusal:
        assert refusal.kind == "refused"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("lark", 'start: "a" start'),
        ("lark", 'start: T | T a b start{3}\na: "y" | T\nT: /b+/\nb: a'),
    ],
)
def test_what_must_go_on_for_ever_is_cut_off(kind: Any, text: str) -> None:
    for seed in range(3):
        assert not walk(begin(kind, text), seed, 50)[1]


@pytest.mark.parametrize("seed", range(10))
def test_what_is_forced_is_taken_at_once(seed: int) -> None:
    text, ended = walk_ahead(schema(OFFER), seed)
    assert ended
    value = json.loads(text)
    assert list(value)[:3] == ["say", "price", "deal"]
    assert text == json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def test_what_is_forced() -> None:
    def forced(grammar: GrammarMatcher) -> str:
        return bytes(token - toy.BYTES_FROM for token in grammar.forced()).decode()

    grammar = schema(OFFER)
    assert forced(grammar) == forced(grammar) == '{"say":"'
    for token in (*grammar.forced(), ord("y") + toy.BYTES_FROM):
        grammar.push(token)
    assert forced(grammar) == 'es","price":'
    assert forced(begin("regex", "日本{2}語(a|b)")) == "日本本語"
    assert begin("regex", "é|è").forced() == [0xC3 + toy.BYTES_FROM]
    assert forced(begin("regex", "abc?")) == "ab"
    assert forced(begin("regex", "a*")) == ""
    assert forced(begin("regex", "x{500}")) == "x" * FORCED_TOKENS_MAX
    assert forced(begin("lark", 'start: "a" start')) == "a" * FORCED_TOKENS_MAX
    assert forced(begin("lark", 'start: "ab" <s> "cd"')) == ""


def test_a_special_token_is_not_forced() -> None:
    grammar = begin("lark", 'start: "a" (<s> | "bc") "d"')
    assert grammar.forced() == []
    grammar.push(ord("a") + toy.BYTES_FROM)
    assert np.flatnonzero(grammar.allowed(toy.VOCABULARY)).tolist() == [toy.BOS, ord("b") + toy.BYTES_FROM]
    assert grammar.forced() == []


def test_tokens_are_those_that_the_tokenizer_would_write(pieces_tokenizer: Path) -> None:
    inner = tokenizers.Tokenizer.from_file(str(pieces_tokenizer))
    grammars = GrammarCompiler(Vocabulary(inner, frozenset({1, 2})))
    for text in ("Once upon a time, there was a girl.", "  two  spaces", "\n", "é日本語🙂", "", "x" * 300):
        grammar = grammars.matcher(GrammarSource("regex", re.escape(text)))
        whole = []
        while not grammar.complete:
            tokens = grammar.forced()
            for token in tokens:
                grammar.push(token)
            whole += tokens
            if not tokens:  # of what follows, tokens could change that
                token = int(np.flatnonzero(grammar.allowed(512)).max())
                if token in (1, 2):
                    break
                grammar.push(token)
                whole.append(token)
        assert grammars._vocabulary.trie.decode_bytes(whole).decode() == text


EXPRESSIONS = st.recursive(
    st.sampled_from(["a", "ab", "é", "[ab]", "[^a]", "日", r"\d", ".", "(?i:x)"]),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=1, max_size=2).map(lambda parts: f"({'|'.join(parts)})"),
        st.tuples(inner, st.sampled_from(["?", "*", "+", "{3}", "{2,40}", "{900}"])).map(
            lambda pair: f"({pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=8,
)
SCHEMAS: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.sampled_from(
        [
            {"const": "ab"},
            {"type": "boolean"},
            {"type": "null"},
            {"enum": [1, 12]},
            {"$ref": "#"},
            {"$ref": "#/$defs/a"},
        ]
    ),
    lambda inner: st.one_of(
        st.tuples(inner, st.integers(0, 3)).map(
            lambda pair: {"type": "array", "items": pair[0], "minItems": pair[1], "maxItems": 4 * pair[1] + 1}
        ),
        st.dictionaries(st.sampled_from("ab"), inner, min_size=1).map(
            lambda members: {
                "type": "object",
                "properties": members,
                "required": sorted(members),
                "additionalProperties": False,
            }
        ),
        st.lists(inner, min_size=1, max_size=2).map(lambda parts: {"anyOf": parts}),
    ),
    max_leaves=6,
)
RULES = st.sampled_from(
    ['"a"', '"bc"', "start", "x", "y", "/[ab]/", "/a+/", '("a" | "b")', "x?", "y*", "x{3}", '%json {"enum": [1, 2]}']
)
LARKS = st.tuples(*[st.lists(RULES, min_size=1, max_size=4).map(" ".join) for _ in range(4)]).map(
    lambda parts: f"start: {parts[0]} | {parts[1]}\nx: {parts[2]}\ny: {parts[3]}"
)


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        EXPRESSIONS.map(lambda text: ("regex", text)),
        st.tuples(SCHEMAS, SCHEMAS).map(lambda pair: ("json_schema", canonical({**pair[0], "$defs": {"a": pair[1]}}))),
        LARKS.map(lambda text: ("lark", text)),
    ),
    st.integers(0, 5),
)
def test_looking_ahead_ends_and_takes_nothing_away(source: tuple[str, str], seed: int) -> None:
    try:
        walk_ahead(begin(*source), seed, 200)
    except Refusal as refusal:
        assert refusal.kind == "refused"


def test_many_patterns_that_do_not_meet_are_followed() -> None:
    patterns = [f"(a|b)*a(a|b){{{count}}}" for count in range(20)]
    members = {f"m{index:02}": {"type": "string", "pattern": pattern} for index, pattern in enumerate(patterns)}
    assert schema({"type": "object", "properties": members, "required": sorted(members)}).forced()
    nested: dict[str, Any] = {"type": "string"}
    for pattern in patterns:
        nested = {"type": "string", "pattern": pattern, "anyOf": [nested]}
    with pytest.raises(Refusal, match="20 patterns"):
        schema(nested)


def test_a_grammar_that_nothing_fits() -> None:
    grammar = begin("lark", "start: a\na: a")
    with pytest.raises(Refusal, match="grammar cannot go on"):
        grammar.allowed(toy.VOCABULARY)


def test_a_grammar_that_costs_too_much_ends_the_same_whoever_used_it_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("turnwise.inference.sampling.grammar.LARK_COMBINED_MAX", 16)
    source = GrammarSource("lark", "start: A\nA: " + " & ".join(f"/.*{letter}.*/" for letter in "abcdefghijklmnopq"))
    grammars = GrammarCompiler(VOCABULARY)

    def cost(seed: int) -> tuple[int, str]:
        random = np.random.default_rng(seed)
        grammar = grammars.matcher(source)
        for count in range(80):
            try:
                ids = np.flatnonzero(grammar.allowed(toy.VOCABULARY))
                grammar.push(int(random.choice(ids[ids >= ord("a")])))
            except Refusal as refusal:
                return count, refusal.message
        return 80, ""

    first = [cost(seed) for seed in (1, 2, 3)]
    assert [cost(seed) for seed in (3, 2, 1)] == first[::-1]
