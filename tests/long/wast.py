"""WebAssembly's scripts (.wast), read as lists, words and strings, and their numbers as bits.

Numbers are rounded by exact fractions here, so that no parser and no arithmetic that is tested is believed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

TOKEN = re.compile(
    rb"""(?P<space>[ \t\r\n]+|;;[^\n]*)|(?P<comment>\(;)|(?P<open>\()|(?P<close>\))"""
    rb"""|(?P<string>"(?:[^"\\]|\\.)*")|(?P<word>[^ \t\r\n()";]+|;)""",
    re.DOTALL,
)
COMMENT_EDGE = re.compile(rb"\(;|;\)")
ESCAPE = re.compile(rb"\\(?:u\{([0-9a-fA-F_]+)\}|([0-9a-fA-F]{2})|(.))", re.DOTALL)
NAMED_ESCAPES = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b'"': b'"', b"'": b"'", b"\\": b"\\"}


@dataclass(frozen=True, slots=True)
class Sheet:
    """A list in parentheses."""

    items: tuple[Item, ...]
    """Words as str, strings as bytes with their escapes replaced, lists."""
    text: bytes
    """Source of the list, parentheses included."""
    line: int
    """Line on which it begins, from 1."""

    @property
    def head(self) -> str:
        """The word that the list begins with; empty without one."""
        return self.items[0] if self.items and isinstance(self.items[0], str) else ""


Item = Sheet | str | bytes


class NotAScript(Exception):
    """Text that does not consist of lists, words and strings."""


def read(source: bytes) -> list[Sheet]:
    """The lists of a script. Raises `NotAScript`."""
    stack: list[tuple[int, list[Item]]] = [(0, [])]
    place = 0
    while place < len(source):
        found = TOKEN.match(source, place)
        if found is None:
            raise NotAScript(f"cannot be read from byte {place}: {source[place : place + 20]!r}")
        kind = found.lastgroup
        if kind == "comment":
            place = _end_of_comment(source, place)
            continue
        place = found.end()
        if kind == "open":
            stack.append((found.start(), []))
        elif kind == "close":
            if len(stack) == 1:
                raise NotAScript(f"a parenthesis too much at byte {found.start()}")
            start, items = stack.pop()
            line = source.count(b"\n", 0, start) + 1
            stack[-1][1].append(Sheet(tuple(items), source[start:place], line))
        elif kind == "string":
            stack[-1][1].append(unescape(found[0][1:-1]))
        elif kind == "word":
            stack[-1][1].append(found[0].decode("utf-8", "surrogateescape"))
    if len(stack) != 1:
        raise NotAScript("a parenthesis is not closed")
    lists = [item for item in stack[0][1] if isinstance(item, Sheet)]
    if len(lists) != len(stack[0][1]):
        raise NotAScript("words lie outside of lists")
    return lists


def _end_of_comment(source: bytes, place: int) -> int:
    depth = 0
    for edge in COMMENT_EDGE.finditer(source, place):
        depth += 1 if edge[0] == b"(;" else -1
        if depth == 0:
            return edge.end()
    raise NotAScript("a comment is not closed")


def unescape(text: bytes) -> bytes:
    """What a string literal stands for."""

    def meaning(escape: re.Match[bytes]) -> bytes:
        code, byte, name = escape.groups()
        if code is not None:
            return chr(int(code.replace(b"_", b""), 16)).encode("utf-8", "surrogatepass")
        return bytes([int(byte, 16)]) if byte is not None else NAMED_ESCAPES[name]

    return ESCAPE.sub(meaning, text)


@dataclass(frozen=True, slots=True)
class Format:
    """A format of floating-point numbers."""

    bits: int
    """Width of a number."""
    fraction_bits: int
    """Width of its fraction."""

    @property
    def exponent_max(self) -> int:
        return (1 << (self.bits - self.fraction_bits - 1)) - 1

    @property
    def quiet(self) -> int:
        """The bit that makes a NaN quiet."""
        return 1 << (self.fraction_bits - 1)

    @property
    def infinity(self) -> int:
        return self.exponent_max << self.fraction_bits


FORMATS = {"f32": Format(32, 23), "f64": Format(64, 52)}


@dataclass(frozen=True, slots=True)
class Pattern:
    """Bits that a value may have: equal to `bits` where `mask` is set."""

    bits: int
    mask: int

    def holds(self, found: int) -> bool:
        return found & self.mask == self.bits & self.mask


def integer(text: str, bits: int) -> int:
    """An integer literal as unsigned number of `bits` bits."""
    return int(text.replace("_", ""), 0 if "x" in text.lower() else 10) & ((1 << bits) - 1)


def number(kind: str, text: str) -> Pattern:
    """A literal of type `kind`: i8, i16, i32, i64, f32 or f64."""
    if kind.startswith("i"):
        bits = int(kind[1:])
        return Pattern(integer(text, bits), (1 << bits) - 1)
    form = FORMATS[kind]
    everything = (1 << form.bits) - 1
    sign = 1 << (form.bits - 1) if text.startswith("-") else 0
    text = text.lstrip("+-").replace("_", "").lower()
    if text == "nan:canonical":
        return Pattern(form.infinity | form.quiet, everything >> 1)
    if text == "nan:arithmetic":
        return Pattern(form.infinity | form.quiet, form.infinity | form.quiet)
    if text == "nan":
        return Pattern(sign | form.infinity | form.quiet, everything)
    if text.startswith("nan:"):
        return Pattern(sign | form.infinity | int(text[4:], 16), everything)
    if text in ("inf", "infinity"):  # the latter in old scripts
        return Pattern(sign | form.infinity, everything)
    return Pattern(sign | rounded(exactly(text), form), everything)


def exactly(text: str) -> Fraction:
    """An unsigned decimal or hexadecimal literal as a fraction."""
    if not text.startswith("0x"):
        return Fraction(text.rstrip("."))
    digits, _, power = text[2:].partition("p")
    whole, _, part = digits.partition(".")
    return Fraction(int(whole + part, 16), 16 ** len(part)) * Fraction(2) ** int(power or "0")


def rounded(value: Fraction, form: Format) -> int:
    """The bits of the number nearest to `value`, ties to even; `value` is not negative."""
    if value == 0:
        return 0
    bias = form.exponent_max >> 1
    exponent = value.numerator.bit_length() - value.denominator.bit_length()
    if Fraction(2) ** exponent > value:
        exponent -= 1
    exponent = max(exponent, 1 - bias)  # below it, the fraction gets shorter instead
    steps = round(value / Fraction(2) ** (exponent - form.fraction_bits))  # Python rounds ties to even too
    return min(((exponent + bias - 1) << form.fraction_bits) + steps, form.infinity)
