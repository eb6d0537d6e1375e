"""The program under limits that it cannot work with: each ends at once, with its reason and what to do."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.guests import constant

if sys.platform != "linux":
    pytest.skip("sets limits as Linux has them", allow_module_level=True)

RUN_S_MAX = 120
"""Only a run that hangs takes so long."""

WORLD = """
[world]
name = "ticks"
rounds_max = {rounds}
[agents.ticks]
source = "ticks.wat"
start = true
"""
MOUNTS = subprocess.run(["unshare", "-m", "-r", "true"], capture_output=True, check=False).returncode == 0
mounts_only = pytest.mark.skipif(not MOUNTS, reason="may not make mounts of its own here")


@pytest.fixture
def world(tmp_path: Path) -> Path:
    folder = tmp_path / "ticks"
    folder.mkdir()
    (folder / "world.toml").write_text(WORLD.format(rounds=3))
    (folder / "ticks.wat").write_text(constant({"state": "x" * 60_000, "wake_in": 1}))
    return folder


def shell(commands: str, cwd: Path, *, mounts: bool = False) -> subprocess.CompletedProcess[str]:
    """Run the program in a shell that has set a limit before."""
    program = f'turnwise() {{ exec {shlex.quote(sys.executable)} -m turnwise "$@"; }}\nset -e\n{commands}'
    words = [*(["unshare", "-m", "-r"] if mounts else []), "bash", "-c", program]
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False, timeout=RUN_S_MAX)


@pytest.mark.parametrize(
    ("limit", "why", "knob"),
    [
        ("-n 20", "Too many open files", "ulimit -n"),
        ("-n 24", "Too many open files", "ulimit -n"),
        ("-f 200", "File too large", "ulimit -f"),
    ],
)
def test_a_worker_that_cannot_be_started_ends_the_run_and_says_which_limit(
    world: Path, tmp_path: Path, limit: str, why: str, knob: str
) -> None:
    """These failures came between rounds, where nobody waited for them, and the run hung for ever."""
    shell("turnwise check ticks", tmp_path)  # compiles, which needs other limits
    done = shell(f"ulimit -S {limit}; turnwise run ticks --journal a.journal --workers 2", tmp_path)
    assert done.returncode == 1, done.stderr
    assert why in done.stderr
    assert knob in done.stderr
    assert "turnwise resume a.journal" in done.stdout
    done = shell("turnwise resume a.journal", tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("blocks", [1, 10, 60])
def test_a_journal_that_cannot_be_begun_leaves_no_file_and_says_nothing_of_going_on(
    world: Path, tmp_path: Path, blocks: int
) -> None:
    shell("turnwise check ticks", tmp_path)
    done = shell(f"ulimit -S -f {blocks}; turnwise run ticks --journal a.journal 2> >(cat >&2)", tmp_path)
    assert done.returncode == 1, done.stderr
    assert "ulimit -f" in done.stderr
    assert "resume" not in done.stderr + done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["ticks"]


@mounts_only
def test_a_full_disk_stops_the_run_and_room_lets_it_go_on(world: Path, tmp_path: Path) -> None:
    (world / "ticks.py").write_text("def turn(t):\n    t.state = t.random.randbytes(60_000).hex()\n    t.wake_in(1)\n")
    (world / "world.toml").write_text(WORLD.format(rounds=40).replace(".wat", ".py"))
    (tmp_path / "disk").mkdir()
    done = shell(
        "mount -t tmpfs -o size=2m none disk\n"
        "set +e\n"
        "(turnwise run ticks --journal disk/a.journal); echo code $?\n"
        "mount -o remount,size=200m disk\n"
        "(turnwise resume disk/a.journal); echo code $?\n",
        tmp_path,
        mounts=True,
    )
    assert "the disk is full" in done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("code")] == ["code 1", "code 0"]
    assert "turnwise resume disk/a.journal" in done.stdout


@mounts_only
def test_a_disk_that_is_full_before_the_run_says_nothing_of_going_on(world: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    done = shell(
        "mount -t tmpfs -o size=64k none disk; head -c 60k /dev/zero > disk/else\n"
        "set +e; (turnwise run ticks --journal disk/a.journal); echo code $?; ls disk",
        tmp_path,
        mounts=True,
    )
    assert "the disk is full" in done.stderr
    assert "resume" not in done.stderr + done.stdout
    assert done.stdout.splitlines() == ["code 1", "else"]


@mounts_only
def test_a_folder_that_cannot_be_written_is_the_user_s_mistake(world: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    for arguments in ("--journal disk/a.journal", ""):
        done = shell(
            "mount -t tmpfs none disk; cp -r ticks disk; mount -o remount,ro disk; "
            + (f"turnwise run ticks {arguments}" if arguments else "cd disk; turnwise run ticks"),
            tmp_path,
            mounts=True,
        )
        assert done.returncode == 2, done.stderr
        assert "Read-only file system" in done.stderr
        assert "Traceback" not in done.stderr


@mounts_only
@pytest.mark.parametrize("prepared", [True, False])
def test_a_system_without_devices_is_named(world: Path, tmp_path: Path, prepared: bool) -> None:
    cache = f"export TURNWISE_CACHE={shlex.quote(str(tmp_path / 'cache'))}"
    if prepared:
        shell(f"{cache}; turnwise check ticks", tmp_path)
    done = shell(f"{cache}; mount -t tmpfs none /dev; turnwise run ticks --journal a.journal", tmp_path, mounts=True)
    assert done.returncode == 1, done.stderr
    assert "/dev/null: No such file or directory" in done.stderr
    assert "has no /dev. Mount one." in done.stderr
    assert "Free memory" not in done.stderr


@mounts_only
@pytest.mark.parametrize("transport", ["memfd", "portable"])
def test_nothing_needs_the_folder_for_shared_memory(world: Path, tmp_path: Path, transport: str) -> None:
    program = (
        "import turnwise\n"
        f"with turnwise.run('ticks', journal='a.journal', workers=2, transport='{transport}') as run:\n"
        "    print(run.status, len(run.rounds))\n"
    )
    done = shell(
        f"mount -t tmpfs -o ro none /dev/shm; ! touch /dev/shm/x; exec {sys.executable} -c {shlex.quote(program)}",
        tmp_path,
        mounts=True,
    )
    assert (done.returncode, done.stdout) == (0, "rounds_max 3\n"), done.stderr
