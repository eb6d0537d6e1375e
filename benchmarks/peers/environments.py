"""Environments of what is compared with: each has its own, since their packages do not go together with ours.

    python benchmarks/peers/environments.py FOLDER

Makes what is missing in the folder, by `venv` and `pip`: a minute each, some 300 MB together.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

PACKAGES: Final = {
    "autogen": ("autogen-core==0.7.5",),
    "langgraph": ("langgraph==1.2.24", "langgraph-checkpoint-sqlite==3.1.2"),
    "dbos": ("dbos==3.4.0",),
}
"""Packages of each peer, with the versions that its program was written for."""


def python_of(folder: Path, peer: str) -> Path:
    """The interpreter of a peer's environment."""
    return folder / peer / ("Scripts" if sys.platform == "win32" else "bin") / "python"


def make(folder: Path) -> None:
    """Make the environments that are not there."""
    for peer, packages in PACKAGES.items():
        done = folder / peer / "installed.txt"
        wanted = "\n".join(packages)
        if done.is_file() and done.read_text() == wanted:
            continue
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder / peer], check=True)
        python = python_of(folder, peer)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        done.write_text(wanted)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
