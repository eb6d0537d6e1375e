"""Write the sections of docs/cli.md from what `turnwise --help` says, so that they cannot say anything else.

What stands before the first section is written by hand, in the page itself.

python docs/generate_cli.py           writes it
python docs/generate_cli.py --check   exit code 1 if it is not up to date
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).with_name("cli.md")
COMMANDS = (
    "run",
    "sweep",
    "resume",
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
    "log",
    "runs",
    "monitor",
    "check",
    "new",
    "doctor",
    "generate",
    "models",
    "models pull",
    "models list",
    "models check",
    "models bench",
)
COLUMNS = "100"

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
    environment = {**os.environ, "COLUMNS": COLUMNS, "LINES": "50", "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"}
    arguments = [sys.executable, "-m", "turnwise", *command.split()[1:], "--help"]
    ended = subprocess.run(arguments, env=environment, capture_output=True, encoding="utf-8", check=True, timeout=60)
    return "\n".join(line.rstrip() for line in ended.stdout.strip().splitlines())


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
