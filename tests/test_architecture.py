"""The files that ARCHITECTURE.md sends its reader to are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "ARCHITECTURE.md"
BASES = (ROOT, ROOT / "src" / "turnwise", ROOT / "src" / "turnwise" / "inference", ROOT / "guests" / "python")

pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="the page lies in the source tree")


def missing(text: str) -> set[str]:
    """Paths in code spans, files with a folder or folders, that are nowhere; in tables also those of their row."""
    gone = set()
    for line in text.splitlines():
        spans = re.findall(r"`([^`]+)`", line)
        row = [ROOT / span for span in spans if span.endswith("/")] if line.startswith("|") else []
        for span in spans:
            is_path = re.fullmatch(r"[\w./-]+(\.py|\.toml|\.wit|/)", span) and ("/" in span or row)
            if is_path and not any((base / span).exists() for base in (*BASES, *row)):
                gone.add(span)
    return gone


def test_every_path_is_there() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert len(re.findall(r"`[\w/]+/[\w.]+\.py`", text)) > 20
    assert missing(text) == set()


def test_a_path_that_is_gone_is_found() -> None:
    text = "see `core/machine.py` and `core/gone.py`, `gone/`, `src/turnwise/core/`\n"
    table = "| `src/turnwise/core/` | decides | `machine.py`, `lost.py` |\n"
    assert missing(text + table) == {"core/gone.py", "gone/", "lost.py"}
