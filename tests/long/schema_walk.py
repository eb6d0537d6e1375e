"""Answers under a JSON schema, drawn at random: each byte is one of those that the grammar allows there."""

from __future__ import annotations

import random

import numpy as np

from tests.inference import toy
from tests.inference.sampling.accepts import COMPILER
from turnwise.core.canonical import canonical
from turnwise.inference.requests.generate_request import GrammarSource
from turnwise.inference.sampling.grammar import GrammarMatcher

BYTES_MAX = 4_000
"""A walk that is longer is given up: nothing says that a random answer ends."""
CLOSING = frozenset(b'"}]')
PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789 .-/:")


def matcher_of(schema: object) -> GrammarMatcher:
    """The grammar of a schema. Raises Refusal."""
    return COMPILER.matcher(GrammarSource("json_schema", canonical(schema)))


def walk(matcher: GrammarMatcher, chance: random.Random) -> str | None:
    """An answer, or None if it has not ended within `BYTES_MAX`. Raises Refusal where the grammar cannot go on.

    What ends a text, a list or an object is taken in two of three cases, so that answers end.
    """
    written = bytearray()
    while not matcher.complete:
        allowed = matcher.allowed(toy.VOCABULARY)
        if allowed[toy.END] and chance.random() < 0.7:
            break
        possible = [int(token) - toy.BYTES_FROM for token in np.flatnonzero(allowed) if token >= toy.BYTES_FROM]
        if not possible:
            break
        closing = [byte for byte in possible if byte in CLOSING]
        plain = [byte for byte in possible if byte in PLAIN]
        if closing and chance.random() < 0.67:
            byte = chance.choice(closing)
        elif plain and chance.random() < 0.9:
            byte = chance.choice(plain)
        else:
            byte = chance.choice(possible)
        matcher.push(byte + toy.BYTES_FROM)
        written.append(byte)
        if len(written) > BYTES_MAX:
            return None
    return written.decode()
