"""Features of the processor by which numeric kernels are chosen: the same features give the same bits."""

from __future__ import annotations

import contextlib
import re
from functools import cache
from pathlib import Path
from typing import Final

_NUMERIC: Final = re.compile(
    r"avx\w*|fma|f16c|sse4_1|sse4_2|ssse3|amx\w*|gfni|asimd\w*|sve\w*|sme\w*|i8mm|bf16|fphp|fp|neon|vfpv4"
)
"""Names as the kernel of Linux gives them, of x86 and of ARM."""


@cache
def features() -> str | None:
    """Names of the features in order, None where the system does not tell them."""
    with contextlib.suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        return numeric_features(text)
    return None


def numeric_features(cpuinfo: str) -> str | None:
    """Return those that `/proc/cpuinfo` names of its first processor."""
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return " ".join(sorted({name for name in value.split() if _NUMERIC.fullmatch(name)}))
    return None
