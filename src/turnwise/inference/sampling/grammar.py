"""Grammars: an answer that follows a JSON schema, a regular expression or a Lark grammar, token by token.

llguidance compiles a grammar and says before each token which ones may come. What it costs is bounded by counts that
are the same everywhere, never by time: a grammar is refused at the same place on every machine. Its own counts do not
bound everything, so some of what a grammar may hold is bounded besides.

Where a grammar leaves no choice of bytes, it says so ahead, and the answer goes on as the tokenizer would write them.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Mapping
from functools import cache
from typing import Final

import numpy as np
from llguidance import LLMatcher, LLParserLimits, LLTokenizer, TokenizerWrapper
from numpy.typing import NDArray

from turnwise.inference.requests.generate_request import GrammarSource
from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.sampling.json_schema import json_grammar, json_schema
from turnwise.inference.text.vocabulary import BYTES, Vocabulary

REFUSED_MAX: Final = 256
"""Refused grammars that one model remembers."""
COMPILE_FUEL_MAX: Final = 100_000
STEP_FUEL_MAX: Final = 200_000
LEXER_STATES_MAX: Final = 20_000
"""About 2 KiB each."""
LARK_COMBINED_MAX: Final = 4
"""`&` and `~` of a Lark grammar: each can make compiling many times as long (six expressions took 2.6 s)."""
REASON_CHARS_MAX: Final = 300
FORCED_BYTES_MAX: Final = 256
FORCED_TOKENS_MAX: Final = 64
NO_FORCING: Final = '%llguidance {"no_forcing": true}\n'
"""llguidance's own looking ahead has no bound but an error: `start: "a" start` would be refused, or never return."""


class GrammarMatcher:
    """Match one generation against a grammar. Without `ahead` no token is forced."""

    def __init__(self, matcher: LLMatcher, vocabulary: Vocabulary, *, ahead: bool) -> None:
        self._matcher = matcher
        self._vocabulary = vocabulary
        self._bytes = vocabulary.byte_tokens if ahead else None
        self._last: int | None = None
        self._mask: NDArray[np.uint8] | None = None
        self._forced: list[int] | None = None

    @property
    def complete(self) -> bool:
        """True if only an end token can follow."""
        return bool(self._matcher.is_stopped())

    def allowed(self, count: int) -> NDArray[np.bool_]:
        """Return the mask of the tokens that may come next, shape [count]. Raises Refusal if no token fits."""
        bits = self._bits()
        if not bits.any():
            raise Refusal("refused", "the grammar cannot go on from here: no token fits")
        return np.unpackbits(bits, count=count, bitorder="little").view(np.bool_)  # zeros beyond the tokenizer's end

    def forced(self) -> list[int]:
        """Return the tokens that must come now, at most `FORCED_TOKENS_MAX`, for `push`; empty where there is a choice.

        What must come are bytes: their tokens are those in which the tokenizer writes them. Where the next bytes, which
        are not known, could change the last of these tokens, they are left out. Raises Refusal as `allowed` does.
        """
        if self._forced is None:
            self._forced = self._look_ahead()
        return self._forced

    def _look_ahead(self) -> list[int]:
        if self._bytes is None:
            return []
        written = bytearray()
        masks = []
        while len(written) < FORCED_BYTES_MAX and not self.complete:
            masks.append(bits := self._bits())
            possible = np.flatnonzero(bits[self._bytes >> 3] >> (self._bytes & 7) & 1)
            if len(possible) != 1 or any(bits[token >> 3] >> (token & 7) & 1 for token in self._vocabulary.ends):
                break
            written.append(BYTES[possible[0]])
            self._push(int(self._bytes[possible[0]]))
        if not written:
            return []
        whole = self.complete
        self._matcher.rollback(len(written))
        self._check()
        self._mask = masks[0]
        return self._vocabulary.canonical_tokens(bytes(written), self._last, whole=whole)[:FORCED_TOKENS_MAX]

    def push(self, token: int) -> None:
        """Take a token that was allowed."""
        self._push(token)
        self._last = token
        self._forced = None

    def _push(self, token: int) -> None:
        self._mask = None
        self._matcher.consume_token(token)
        self._check()

    def _bits(self) -> NDArray[np.uint8]:
        """Return the mask of the tokens that may come next, a bit for each."""
        if self._mask is None:
            self._mask = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
            self._check()
        return self._mask

    def _check(self) -> None:
        if self._matcher.is_error():
            raise Refusal("refused", f"the grammar cannot go on: {_reason(self._matcher)}")


class GrammarCompiler:
    """Compile grammars for one vocabulary.

    Each generation compiles its own, which takes about a millisecond: copies of a compiled grammar share the states
    that llguidance has built so far and what these have cost, so an answer could depend on who used the grammar before.
    Refusals are remembered, since each can take a second.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._refused: OrderedDict[GrammarSource, str] = OrderedDict()
        self._limits = LLParserLimits(
            initial_lexer_fuel=COMPILE_FUEL_MAX,
            step_lexer_fuel=STEP_FUEL_MAX,
            max_lexer_states=LEXER_STATES_MAX,
            verbose_errors=False,
        )

    def matcher(self, source: GrammarSource) -> GrammarMatcher:
        """Compile a grammar for one generation. Raises Refusal with the reason if no answer can follow it."""
        if source in self._refused:
            raise Refusal("refused", self._refused[source])
        try:
            matcher = self._compile(source)
        except Refusal as refusal:
            self._refused[source] = refusal.message
            if len(self._refused) > REFUSED_MAX:
                self._refused.popitem(last=False)
            raise
        # In Lark, <…> names tokens that no bytes tell of.
        return GrammarMatcher(matcher, self._vocabulary, ahead=source.kind != "lark" or "<" not in source.text)

    def _compile(self, source: GrammarSource) -> LLMatcher:
        if source.kind == "json_schema":
            text = json_schema(json.loads(source.text), self._is_empty)
        elif source.kind == "regex":
            text = str(json.loads(LLMatcher.grammar_from_regex(source.text))["grammars"][0]["lark_grammar"])
        else:
            text = named_tokens(self._lark(source.text), self._vocabulary.added_tokens)
        matcher = LLMatcher(self._vocabulary.trie, NO_FORCING + text, log_level=0, limits=self._limits)
        if matcher.is_error():
            raise Refusal("refused", f"{source.kind} is not a grammar that can be followed: {_reason(matcher)}")
        return matcher

    def _lark(self, text: str) -> str:
        """Return a Lark grammar whose schemas (`%json {…}`) are bounded and without white space like any other."""
        rules: list[str] = []
        schemas: list[str] = []
        at = 0
        while (found := text.find("%json", at)) >= 0:
            rules.append(text[at:found])
            begin = found + len("%json")
            begin += len(text[begin:]) - len(text[begin:].lstrip())
            try:
                schema, at = json.JSONDecoder().raw_decode(text, begin)
            except (ValueError, RecursionError) as error:
                raise Refusal("refused", "lark has a %json that is not followed by a JSON schema") from error
            schemas.append(f"%json {json_grammar(schema, self._is_empty)}")
        rules.append(text[at:])
        if any("%llguidance" in rule for rule in rules):
            raise Refusal("refused", "lark has %llguidance, which is not supported")
        combined = sum(rule.count("&") + rule.count("~") for rule in rules)
        if combined > LARK_COMBINED_MAX:
            raise Refusal("refused", f"lark has {combined} of & and ~, at most {LARK_COMBINED_MAX} are allowed")
        return "".join(rule + schema for rule, schema in zip(rules, [*schemas, ""], strict=True))

    def _is_empty(self, grammar: str) -> bool:
        """True if nothing can follow the first byte of this grammar, which is `{`."""
        matcher = LLMatcher(_byte_trie(), NO_FORCING + grammar, log_level=0, limits=self._limits)
        if matcher.is_error():
            return False  # the whole grammar will say why
        matcher.consume_token(ord("{"))
        return not any(matcher.compute_bitmask()) or bool(matcher.is_error())


@cache
def _byte_trie() -> LLTokenizer:
    """Return a vocabulary of bytes, the last being its end token."""
    return LLTokenizer(TokenizerWrapper(_Bytes()), eos_token=0xFF)


class _Bytes:
    eos_token_id = 0xFF
    bos_token_id = None
    tokens: Final = [bytes([byte]) for byte in range(0xFF)] + [b"<end>"]
    special_token_ids: Final = [0xFF]

    def __call__(self, text: bytes) -> list[int]:
        return list(text)


_LARK_PARTS: Final = re.compile(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/(?:\\.|[^/\\\n])+/|<(?P<name>[^<>\s"]+)>')
"""Strings, comments and expressions of a Lark grammar, in which `<…>` names no token; and what names one."""


def named_tokens(text: str, added: Mapping[str, int]) -> str:
    """A Lark grammar in which added tokens that are not special are named by id: llguidance knows only special ones."""

    def named(match: re.Match[str]) -> str:
        number = added.get(match.group()) if match["name"] else None
        return match.group() if number is None else f"<[{number}]>"

    return _LARK_PARTS.sub(named, text) if added and "<" in text else text


def _reason(matcher: LLMatcher) -> str:
    """Return the error that llguidance reports, on one line."""
    lines = [line.strip() for line in str(matcher.get_error()).splitlines()]
    text = " ".join(line for line in lines if line and line != "<non-verbose/>")
    return text if len(text) <= REASON_CHARS_MAX else text[: REASON_CHARS_MAX - 1] + "…"
