"""What the bodies of functions refer to by index, and bodies with other indices.

Nothing else of a body changes. Instructions whose operands are no indices are skipped in runs, by one regular
expression, so that some six million bytes take seconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from interpreter_build.encoding import Reader, UnexpectedForm

CALL, CALL_INDIRECT = 0x10, 0x11
GLOBAL_GET, GLOBAL_SET = 0x23, 0x24
BLOCKS = (0x02, 0x03, 0x04)
BR_TABLE = 0x0E

_NUMBER = rb"[\x80-\xff]*[\x00-\x7f]"
_PLAIN = re.compile(
    rb"(?:"
    rb"[\x00\x01\x05\x0b\x0f\x1a\x1b\x45-\xc4]"  # no operand
    rb"|[\x0c\x0d\x20-\x22\x41\x42]"
    + _NUMBER  # labels, locals, constants of integers
    + rb"|[\x28-\x3e]"
    + _NUMBER
    + _NUMBER  # loads and stores: alignment, offset
    + rb"|[\x3f\x40]\x00"  # size and growth of memory
    rb"|[\x02-\x04][\x40-\x7f]"  # blocks whose type is empty or that of a value
    rb"|\x43.{4}|\x44.{8}"  # constants of floats
    rb"|\xfc[\x00-\x07]|\xfc\x0a\x00\x00|\xfc\x0b\x00"  # saturating conversions, copying and filling of memory
    rb")*+",
    re.DOTALL,
)

Reference = tuple[int, int, int, int]
"""Begin and end of an operand, its instruction's code, and the index that it is."""


def references(data: bytes, begin: int, end: int) -> Iterator[Reference]:
    """Yield every operand that is an index of a function, a type or a global in the body from `begin` to `end`."""
    reader = Reader(data, begin)
    for _ in reader.counted():  # locals
        reader.unsigned()
        reader.byte()
    skip = _PLAIN.match
    while True:
        match = skip(data, reader.position, end)
        assert match is not None
        reader.position = match.end()
        if reader.position == end:
            return
        code = reader.byte()
        start = reader.position
        if code in (CALL, GLOBAL_GET, GLOBAL_SET):
            index = reader.unsigned()
            yield start, reader.position, code, index
        elif code == CALL_INDIRECT:
            index = reader.unsigned()
            yield start, reader.position, code, index
            if reader.unsigned() != 0:
                raise UnexpectedForm("a call through another table than the first")
        elif code in BLOCKS:
            index = reader.signed()
            yield start, reader.position, code, index
        elif code == BR_TABLE:
            for _ in range(reader.unsigned() + 1):
                reader.unsigned()
        else:
            raise UnexpectedForm(f"an instruction {code:#x} {data[start]:#x}")


def rewrite(
    data: bytes, begin: int, end: int, found: list[Reference], instruction: Callable[[int, int], bytes]
) -> bytes:
    """Return a body with other instructions in the places of `found`.

    `instruction` gives for (code, index) what stands there then; of a `call_indirect` all but its table.
    """
    parts = []
    position = begin
    for start, stop, code, index in found:
        parts.append(data[position : start - 1])
        parts.append(instruction(code, index))
        position = stop
    parts.append(data[position:end])
    return b"".join(parts)
