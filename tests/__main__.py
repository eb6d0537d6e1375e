"""Everything that must pass, in one command: `python -m tests [pytest's arguments]`. CI runs the same."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MORE_THAN_CORES = 2
"""Test processes beyond one a core: most of what takes long is waiting, for processes, pipes and disks."""
PROCESSES_MAX = 10


def main() -> int:
    scripts = Path(sys.executable).parent
    workers = str(min(PROCESSES_MAX, (os.cpu_count() or 2) + MORE_THAN_CORES))
    checks = [
        ("lint", [sys.executable, "-m", "ruff", "check"]),
        ("format", [sys.executable, "-m", "ruff", "format", "--check", "-q"]),
        ("pages", [sys.executable, "docs/format.py", "--check"]),
        ("layers", [str(scripts / "lint-imports"), "--no-cache"]),
        ("types", [sys.executable, "-m", "mypy"]),
        ("tests", [sys.executable, "-m", "pytest", "-n", workers, "--dist", "worksteal", *sys.argv[1:]]),
    ]
    failed = []
    for name, command in checks:
        print(f"== {name}", flush=True)
        start = time.monotonic()
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            failed.append(name)
        print(f"   {time.monotonic() - start:.0f} s", flush=True)
    print(f"failed: {', '.join(failed)}" if failed else "all passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
