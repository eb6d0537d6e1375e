"""Write docs/cli.md from what `turnwise --help` says, so that it cannot say anything else.

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
    "resume",
    "replay",
    "log",
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

BEGINNING = """\
# The command line

This page is written by `python docs/generate_cli.py` from the program's own help; a test holds it to that.

What was asked for is written to stdout: a summary, a log, a description, generated text. What is said on the way
there, progress, notices and errors, goes to stderr. With `--json`, exactly one object is on stdout and all text for
people is on stderr. `run`, `resume`, `replay` and `log` give it at least the members `head`, `rounds`, `turns`,
`status`, `result` and `journal`; what could not be done at all has an `error` with `message`, `where`, `hint` and the
exit code.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | the run failed, or the machine failed it |
| 2 | wrong usage or input; nothing has been changed |
| 3 | a difference was found |
| 130 | interrupted; what was committed can be resumed |

`status` says how a run ended: `finished` (an agent called `finish`), `quiet` (nobody has anything left to do),
`rounds_max` (its bound is reached), `failed` (a turn failed, and the world says `on_failure = "stop"`), or `open` (it
has not ended: interrupted, crashed, or still under way).

On a terminal, `run` and `resume` show live what is going on; elsewhere they write a line a second at most. The first
Ctrl-C (or SIGTERM) stops when the round in progress is committed, the second at once; `turnwise resume` goes on either
way.

Text that comes from agents, models, worlds and journals is shown with control and bidirectional characters as escapes
(`\\e[2J`, `\\u202e`), so that none of it can act on a terminal. `NO_COLOR` takes colour away, `FORCE_COLOR` gives it to
pipes, and `TURNWISE_DEBUG=1` shows the traceback of a defect.
"""


def page() -> str:
    """The text of the whole page."""
    parts = [BEGINNING, section("turnwise"), *[section(f"turnwise {name}") for name in COMMANDS]]
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
