"""Whether a text follows a grammar, byte by byte."""

from __future__ import annotations

from typing import Any

from tests.inference import toy
from turnwise.core.canonical import canonical
from turnwise.inference.requests.generate_request import GrammarSource
from turnwise.inference.sampling.grammar import GrammarCompiler
from turnwise.inference.text.vocabulary import Vocabulary

COMPILER = GrammarCompiler(Vocabulary(toy.byte_tokenizer(), frozenset({toy.END})))


def accepts(schema: Any, text: str) -> bool:
    """True if an answer under this JSON schema can be this text. Raises Refusal for a schema that is refused."""
    matcher = COMPILER.matcher(GrammarSource("json_schema", canonical(schema)))
    for byte in text.encode():
        if matcher.complete or not matcher.allowed(toy.VOCABULARY)[byte + toy.BYTES_FROM]:
            return False
        matcher.push(byte + toy.BYTES_FROM)
    return matcher.complete or bool(matcher.allowed(toy.VOCABULARY)[toy.END])
