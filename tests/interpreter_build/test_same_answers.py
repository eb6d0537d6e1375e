"""The same answers of the system in every build, and that a program without them gets others."""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="Linux on x86-64 has them"
)

ASKS = """
import ctypes, os, time
SYS_getrandom, SYS_statx, AT_FDCWD, STATX_ALL = 318, 332, -100, 0xFFF
libc = ctypes.CDLL(None, use_errno=True)
drawn = ctypes.create_string_buffer(8)
assert libc.syscall(SYS_getrandom, drawn, 8, 0) == 8
found = ctypes.create_string_buffer(256)
assert libc.syscall(SYS_statx, AT_FDCWD, PATH.encode(), 0, STATX_ALL, found) == 0
assert libc.syscall(SYS_statx, AT_FDCWD, b"/no/such/file", 0, STATX_ALL, found) == -1
assert ctypes.get_errno() == 2
times = os.stat(PATH)
answers = [os.getrandom(8).hex(), drawn.raw.hex(), os.urandom(4).hex(), time.time(), time.monotonic()]
answers += [found.raw.hex(), times.st_mtime_ns, times.st_ctime_ns, os.stat(os.path.dirname(PATH)).st_ctime_ns]
print(answers, hash("a"))
"""


def answers(file: Path, environment: dict[str, str]) -> str:
    program = f"PATH = {str(file)!r}\n{ASKS}"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_chance_clocks_and_times_of_files_are_the_same_for_two_programs(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    environment = hook.same_answers(ROOT, tmp_path)
    found = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        file = tmp_path / name / "file"
        file.write_text("text")
        found.append((answers(file, environment), answers(file, {})))
    (same, differs), (same_again, differs_again) = found
    assert same == same_again
    assert differs != differs_again, "the control: without the library nothing is the same"
