"""Write every Markdown page with one sentence a line, so that a change of a sentence is a change of a line.

python docs/format.py           rewrites the pages
python docs/format.py --check   exit code 1 if a page is not as it would be written
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import mdformat

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("benchmarks", "docs", "examples", "src", "training")
EXTENSIONS = ("gfm", "slw", "tables")
OPTIONS = {
    # Join a paragraph's lines, then break after sentences and nowhere else.
    "wrap": "no",
    "number": True,
    "plugin": {
        "slw": {"slw_wrap": 0, "slw_min_line": 0, "lang": "en"},
        "tables": {"compact_tables": True},
    },
}


def pages() -> list[Path]:
    """The project's Markdown files, sorted."""
    found = set(ROOT.glob("*.md"))
    for folder in FOLDERS:
        found.update((ROOT / folder).rglob("*.md"))
    return sorted(found)


def formatted(text: str) -> str:
    """`text` as the formatter writes it; code blocks stay as they are."""
    return mdformat.text(text, options=OPTIONS, extensions=EXTENSIONS)


def main() -> int:
    # The plugin advises against "wrap", once a paragraph; joining lines is what makes it break at sentences only.
    logging.getLogger("mdformat_slw").setLevel(logging.ERROR)
    check = "--check" in sys.argv[1:]
    unlike = []
    for page in pages():
        before = page.read_text(encoding="utf-8")
        after = formatted(before)
        if after == before:
            continue
        unlike.append(page.relative_to(ROOT))
        if not check:
            page.write_text(after, encoding="utf-8", newline="\n")
    if not check or not unlike:
        return 0
    for page in unlike:
        print(f"{page} is not one sentence a line: run python docs/format.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
