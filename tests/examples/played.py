"""An example, played in a process of its own that can be killed at any round and goes on where it was.

python -m tests.examples.played WORLD JOURNAL: plays or resumes, answers questions by `answer`, and writes a line when
a round is over.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import turnwise
from tests.long.kills import ROOT, descendants, ended, wait_gone
from turnwise.orchestrator.live import Live

PAID_BACK_MAX = 50.0
"""Euros that the person at the support desk approves."""


def answer(question: str) -> Any:
    """Answer what an example asks people: at the support desk, whether so much is paid back."""
    amount = re.search(r'desk.pay_back with .*"amount":([0-9.]+)', question)
    if amount is None:
        raise ValueError(f"nobody has an answer to {question!r}")
    return float(amount[1]) <= PAID_BACK_MAX


def play(world: Path, journal: Path) -> None:
    """Play to the end."""
    begun = (
        turnwise.resume(journal, workers=1) if journal.exists() else turnwise.start(world, journal=journal, workers=1)
    )
    with begun as live:
        while step(live):
            print("round", flush=True)
        live.result().close()


def step(live: Live) -> bool:
    """Answer what is asked, and play a round; False if the run is over."""
    for asked in live.questions():
        live.answer(asked.id, answer(asked.text))
    return live.step() is not turnwise.NoRound.OVER


def play_with_kills(world: Path, journal: Path, rounds: int) -> int:
    """Play to the end in processes that are killed with SIGKILL after so many rounds each; returns how many were."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    kills = 0
    while True:
        command = [sys.executable, "-m", "tests.examples.played", str(world), str(journal)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": paths}, cwd=ROOT, text=True
        ) as process:
            assert process.stdout is not None
            for _ in range(rounds):
                if not process.stdout.readline():
                    break
            else:
                started = descendants(process.pid)
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
                wait_gone(started)
                if not ended(journal):
                    continue
            assert process.wait() in (0, -signal.SIGKILL)
        return kills


if __name__ == "__main__":
    play(Path(sys.argv[1]), Path(sys.argv[2]))
