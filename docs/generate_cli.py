"""Write the sections of docs/cli.md from what `turnwise --help` says, so that they cannot say anything else.

What stands before the first section is written by hand, in the page itself.

python docs/generate_cli.py           writes it
python docs/generate_cli.py --check   exit code 1 if it is not up to date
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from pathlib import Path

os.environ |= {"COLUMNS": "100", "LINES": "50", "NO_COLOR": "1"}

from turnwise.cli.program import run_program

PAGE = Path(__file__).with_name("cli.md")
COMMANDS = (
    "run",
    "sweep",
    "resume",
    "play",
    "answer",
    "tools",
    "call",
    "send",
    "fork",
    "detach",
    "replay",
    "verify",
    "bundle",
    "keygen",
    "redact",
    "compact",
    "export",
    "diff",
    "why",
    "debug",
    "log",
    "runs",
    "monitor",
    "observe",
    "watch",
    "check",
    "new",
    "build",
    "doctor",
    "generate",
    "chat",
    "serve",
    "mcp",
    "models",
    "models pull",
    "models list",
    "models check",
    "models bench",
)
FIRST_SECTION = "## `turnwise`\n"


def page() -> str:
    """The text of the whole page."""
    beginning, found, _ = PAGE.read_text(encoding="utf-8").partition(FIRST_SECTION)
    if not found:
        raise SystemExit(f"{PAGE} has no line {FIRST_SECTION!r} for its sections to begin at")
    parts = [beginning.rstrip() + "\n", section("turnwise"), *[section(f"turnwise {name}") for name in COMMANDS]]
    return "\n".join(parts)


def section(command: str) -> str:
    """One command's help, under its name."""
    return f"## `{command}`\n\n```\n{shown(command)}\n```\n"


def shown(command: str) -> str:
    """What the program prints, in this process: it would start once for each command."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = run_program([*command.split()[1:], "--help"])
    if code:
        raise SystemExit(f"{command} --help ends with {code}")
    return "\n".join(line.rstrip() for line in printed.getvalue().strip().splitlines())


def main() -> int:
    text = page()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(text, encoding="utf-8", newline="\n")
        return 0
    if PAGE.read_text(encoding="utf-8") == text:
        return 0
    print(f"{PAGE} is not what --help says: run python docs/generate_cli.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
