"""Scripts of WebAssembly are read as they are written, and their numbers rounded as IEEE 754 says."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.long.wast import NotAScript, Pattern, Sheet, number, read


def test_lists_words_and_strings() -> None:
    (module, check) = read(b'(module $m (; a (; b ;) "c ;) (data "\\00a\\"\\u{e9}")) ;; end )\n(check -0x1.8p+3 "x;;")')
    assert module.items[:2] == ("module", "$m")
    data = module.items[2]
    assert isinstance(data, Sheet)
    assert data.items == ("data", b'\x00a"\xc3\xa9')
    assert data.text == b'(data "\\00a\\"\\u{e9}")'
    assert (check.head, check.line, check.items[1:]) == ("check", 2, ("-0x1.8p+3", b"x;;"))


@pytest.mark.parametrize("text", [b"(a", b"a)", b"(a))", b"(; (; ;)", b'("a', b"word (a)"])
def test_what_is_no_script_is_refused(text: bytes) -> None:
    with pytest.raises(NotAScript):
        read(text)


@given(st.floats(allow_nan=False))
def test_numbers_have_the_bits_of_doubles(value: float) -> None:
    bits = struct.unpack("<Q", struct.pack("<d", value))[0]
    for text in (value.hex() if math.isfinite(value) else str(value), repr(value)):
        assert number("f64", text).bits == bits


@given(st.floats(width=32, allow_nan=False))
def test_numbers_have_the_bits_of_singles(value: float) -> None:
    bits = struct.unpack("<I", struct.pack("<f", value))[0]
    assert number("f32", repr(value)).bits == bits


def test_numbers_at_the_edges() -> None:
    assert number("f32", "0x1p-149").bits == 1
    assert number("f32", "0x1p-150").bits == 0, "a tie goes to the even one"
    assert number("f32", "0x1.000002p-150").bits == 1
    assert number("f32", "0x1.fffffefffffff8p127").bits == 0x7F7F_FFFF, "rounded once, not by way of a double"
    assert number("f32", "0x1.ffffffp127").bits == 0x7F80_0000
    assert number("f32", "340_282_356_779_733_642_748_073_463_979_561_713_663").bits == 0x7F7F_FFFF
    assert number("f64", "-0x0p+0").bits == 1 << 63
    assert number("i8", "-1").bits == 0xFF
    assert number("i64", "0x8000_0000_0000_0000").bits == number("i64", "-9223372036854775808").bits
    assert number("i32", "0123").bits == 123


def test_patterns_of_nans() -> None:
    canonical, arithmetic = number("f32", "nan:canonical"), number("f32", "nan:arithmetic")
    assert canonical.holds(0x7FC0_0000)
    assert canonical.holds(0xFFC0_0000)
    assert not canonical.holds(0x7FC0_0001)
    assert arithmetic.holds(0xFFC0_1234)
    assert not arithmetic.holds(0x7F80_1234), "a signalling one"
    assert not arithmetic.holds(0x7F80_0000), "infinity"
    assert number("f32", "-nan:0x200000") == Pattern(0xFFA0_0000, 0xFFFF_FFFF)
