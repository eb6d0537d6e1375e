"""Grammars: an answer that follows a JSON schema, a regular expression or a Lark grammar, token by token.

llguidance compiles a grammar and says before each token which ones may come. What it costs is bounded by counts that
are the same everywhere, never by time: a grammar is refused at the same place on every machine. Its own counts do not
bound everything (a `multipleOf` of a million takes a minute), so some of what a grammar may hold is bounded here.

Where a grammar leaves no choice of bytes, it says so ahead, and the answer goes on as the tokenizer would write them.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

import numpy as np
from llguidance import LLMatcher, LLParserLimits
from numpy.typing import NDArray

from turnwise.inference.refusal import Refusal
from turnwise.inference.request import GrammarSource
from turnwise.inference.vocabulary import BYTES, Vocabulary

REFUSED_MAX: Final = 256
"""Grammars of one model that are known to be refused."""
COMPILE_FUEL_MAX: Final = 100_000
STEP_FUEL_MAX: Final = 200_000
LEXER_STATES_MAX: Final = 20_000
"""About 2 KiB each."""
MULTIPLE_OF_MAX: Final = 10_000
"""The product of a schema's `multipleOf`s, in units of its finest decimal: an automaton of so many states."""
SCHEMA_DEPTH_MAX: Final = 64
PATTERN_CHARS_MAX: Final = 4_096
"""All patterns of a schema together."""
REASON_CHARS_MAX: Final = 300
FORCED_BYTES_MAX: Final = 256
FORCED_TOKENS_MAX: Final = 64
NO_FORCING: Final = '%llguidance {"no_forcing": true}\n'
"""llguidance's own looking ahead has no bound but an error: `start: "a" start` would be refused, or never return."""


class Grammar:
    """A grammar's state within one generation. Without `ahead` nothing is forced."""

    def __init__(self, matcher: LLMatcher, vocabulary: Vocabulary, *, ahead: bool) -> None:
        self._matcher = matcher
        self._vocabulary = vocabulary
        self._bytes = vocabulary.byte_tokens if ahead else None
        self._last: int | None = None
        self._mask: NDArray[np.uint8] | None = None
        self._forced: list[int] | None = None

    @property
    def complete(self) -> bool:
        """Whether nothing can come any more but an end token."""
        return bool(self._matcher.is_stopped())

    def allowed(self, count: int) -> NDArray[np.bool_]:
        """Which of `count` tokens may come next: shape [count]. Raises Refusal if that cannot be said."""
        bits = self._bits()
        if not bits.any():
            raise Refusal("refused", "the grammar cannot go on from here: no token fits")
        return np.unpackbits(bits, count=count, bitorder="little").view(np.bool_)  # zeros beyond the tokenizer's end

    def forced(self) -> list[int]:
        """The tokens that must come now, at most `FORCED_TOKENS_MAX`, for `push`; empty where there is a choice.

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
        return self._vocabulary.canonical(bytes(written), self._last, whole=whole)[:FORCED_TOKENS_MAX]

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
        """Which tokens may come next, a bit for each."""
        if self._mask is None:
            self._mask = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
            self._check()
        return self._mask

    def _check(self) -> None:
        if self._matcher.is_error():
            raise Refusal("refused", f"the grammar cannot go on: {_reason(self._matcher)}")


class Grammars:
    """Compiles grammars for one vocabulary.

    Each generation compiles its own, which takes about a millisecond: copies of a compiled grammar share the states
    that llguidance has built so far and what these have cost, so an answer could depend on who used the grammar before.
    What is refused is kept, since that can take a second.
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

    def begin(self, source: GrammarSource) -> Grammar:
        """A grammar at its beginning. Raises Refusal with the reason if it is not one that can be followed."""
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
        return Grammar(matcher, self._vocabulary, ahead=source.kind != "lark" or "<" not in source.text)

    def _compile(self, source: GrammarSource) -> LLMatcher:
        if source.kind == "json_schema":
            text = _json_schema(json.loads(source.text))
        elif source.kind == "regex":
            text = str(json.loads(LLMatcher.grammar_from_regex(source.text))["grammars"][0]["lark_grammar"])
        else:
            text = _lark(source.text)
        matcher = LLMatcher(self._vocabulary.trie, NO_FORCING + text, log_level=0, limits=self._limits)
        if matcher.is_error():
            raise Refusal("refused", f"{source.kind} is not a grammar that can be followed: {_reason(matcher)}")
        return matcher


def _reason(matcher: LLMatcher) -> str:
    """llguidance's own words, on one line."""
    lines = [line.strip() for line in str(matcher.get_error()).splitlines()]
    text = " ".join(line for line in lines if line and line != "<non-verbose/>")
    return text if len(text) <= REASON_CHARS_MAX else text[: REASON_CHARS_MAX - 1] + "…"


def _json_schema(schema: dict[str, Any]) -> str:
    """The grammar of a schema: JSON without any white space around its parts, which could otherwise go on for ever."""
    _check_schema(schema)
    return f"start: %json {_without_space(_ordered(schema))}"


def _without_space(schema: dict[str, Any]) -> str:
    return json.dumps({"x-guidance": {"whitespace_flexible": False}, **schema})


def _ordered(value: Any) -> Any:
    """The schema with properties in the order of `required`, then the others: the order in which they are generated.

    The order in which a schema was written is lost on the way here, where all JSON is canonical.
    """
    if isinstance(value, list):
        return [_ordered(item) for item in value]
    if not isinstance(value, dict):
        return value
    ordered = {key: _ordered(item) for key, item in value.items()}
    properties, required = ordered.get("properties"), ordered.get("required")
    if isinstance(properties, dict) and isinstance(required, list):
        first = [name for name in required if isinstance(name, str) and name in properties]
        ordered["properties"] = {name: properties[name] for name in (*first, *properties)}
    return ordered


def _check_schema(schema: Any) -> None:
    """Refuse what costs more than its size says, and what would make another language of JSON."""
    if isinstance(schema, dict) and "x-guidance" in schema:
        raise Refusal("refused", "json_schema has x-guidance, which is not supported")
    multiples: set[Decimal] = set()
    pattern_chars = 0
    for key, value in _members(schema):
        if key == "multipleOf" and type(value) in (int, float):
            multiples.add(Decimal(str(value)))
        elif key == "pattern" and isinstance(value, str):
            pattern_chars += len(value)
        elif key == "patternProperties" and isinstance(value, dict):
            pattern_chars += sum(len(name) for name in value)
    if pattern_chars > PATTERN_CHARS_MAX:
        raise Refusal(
            "refused",
            f"json_schema has patterns of {pattern_chars} characters in all, at most {PATTERN_CHARS_MAX} are allowed",
        )
    finest = min((int(value.as_tuple().exponent) for value in multiples), default=0)
    product = Decimal(1)
    for value in multiples:
        product *= value.scaleb(-min(finest, 0))
    if not product <= MULTIPLE_OF_MAX:
        raise Refusal(
            "refused", f"json_schema has a multipleOf that is too fine: at most {MULTIPLE_OF_MAX} steps are allowed"
        )


def _members(value: Any, depth: int = SCHEMA_DEPTH_MAX) -> Iterator[tuple[str, Any]]:
    """All members of all objects in a JSON value."""
    if depth == 0 and isinstance(value, dict | list):
        raise Refusal("refused", f"json_schema is nested deeper than {SCHEMA_DEPTH_MAX} levels")
    if isinstance(value, dict):
        for key, item in value.items():
            yield key, item
            yield from _members(item, depth - 1)
    elif isinstance(value, list):
        for item in value:
            yield from _members(item, depth - 1)


def _lark(text: str) -> str:
    """A Lark grammar whose schemas (`%json {…}`) are bounded and without white space like any other."""
    if "%llguidance" in text:
        raise Refusal("refused", "lark has %llguidance, which is not supported")
    parts = text.split("%json")
    for index, part in enumerate(parts[1:], 1):
        begin = len(part) - len(part.lstrip())
        try:
            schema, end = json.JSONDecoder().raw_decode(part, begin)
        except (ValueError, RecursionError) as error:
            raise Refusal("refused", "lark has a %json that is not followed by a JSON schema") from error
        _check_schema(schema)
        if isinstance(schema, dict):
            part = f" {_without_space(schema)}{part[end:]}"
        parts[index] = part
    return "%json".join(parts)
