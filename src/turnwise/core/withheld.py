"""Texts that a journal no longer holds: of each, only its SHA-256 is left.

The chains cover long texts by their digests, so a journal from which texts were taken out has the heads that it had.
What reads it meets a `Withheld` where the text was.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Any, Final

MEMBER: Final = "redacted"
"""Name of the only member of the JSON object that stands where a withheld text was."""

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class Withheld(str):
    """A text of which only the SHA-256 is known. It reads as `{"redacted":"<64 hex digits>"}`, which is JSON.

    It is equal to every text that has this digest. So it must not be a key beside ordinary texts, whose hashes differ.
    """

    __slots__ = ("digest",)

    digest: str
    """SHA-256 (64 hex digits) of the text's UTF-8."""

    def __new__(cls, digest: str) -> Withheld:
        text = super().__new__(cls, f'{{"{MEMBER}":"{digest}"}}')
        text.digest = digest
        return text

    def __eq__(self, other: object) -> bool:
        if type(other) is Withheld:
            return self.digest == other.digest
        return isinstance(other, str) and self.digest == sha256(other.encode(errors="surrogatepass")).hexdigest()

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__

    def __repr__(self) -> str:
        return f"Withheld({self.digest!r})"


class WithheldTokens(tuple[int, ...]):
    """Ids of tokens of which only the SHA-256 of their JSON list is known. As a tuple it is empty."""

    digest: str
    """SHA-256 (64 hex digits) of the list's canonical JSON text."""

    def __new__(cls, digest: str) -> WithheldTokens:
        tokens = super().__new__(cls, ())
        tokens.digest = digest
        return tokens

    def __repr__(self) -> str:
        return f"WithheldTokens({self.digest!r})"


def as_member(text: str) -> Any:
    """The JSON value that stands for a text among the members of an object: an object if it is withheld."""
    return {MEMBER: text.digest} if type(text) is Withheld else text


def from_member(value: object) -> str | None:
    """The text that `as_member` stands for; None if the value stands for none."""
    if type(value) is str:
        return value
    if isinstance(value, dict) and value.keys() == {MEMBER} and is_digest(value[MEMBER]):
        return Withheld(value[MEMBER])
    return None


def is_digest(value: object) -> bool:
    """Return whether a value is a SHA-256 in hex."""
    return type(value) is str and _DIGEST.fullmatch(value) is not None
