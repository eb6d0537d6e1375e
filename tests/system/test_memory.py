from __future__ import annotations

from pathlib import Path

import pytest

from turnwise.system.memory import group_limit_bytes, machine_memory_bytes, memory_bytes

MIB = 2**20
UNLIMITED_V1 = "9223372036854771712\n"


def root(folder: Path, groups: str, limits: dict[str, str]) -> Path:
    """A root with these lines in /proc/self/cgroup, and these files below /sys/fs/cgroup."""
    (folder / "proc" / "self").mkdir(parents=True)
    (folder / "proc" / "self" / "cgroup").write_text(groups)
    for name, text in limits.items():
        path = folder / "sys" / "fs" / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.mark.parametrize(
    ("groups", "limits", "limit"),
    [
        ("0::/\n", {"memory.max": f"{512 * MIB}\n"}, 512 * MIB),
        ("0::/\n", {"memory.max": "max\n"}, None),
        ("0::/a/b\n", {"a/b/memory.max": f"{300 * MIB}", "a/memory.max": f"{200 * MIB}"}, 200 * MIB),
        ("0::/a/b\n", {"a/b/memory.max": f"{300 * MIB}", "a/memory.max": "max"}, 300 * MIB),
        ("0::/../../x\n", {"memory.max": f"{64 * MIB}"}, 64 * MIB),
        ("0::/host/path\n", {"memory.max": f"{64 * MIB}"}, 64 * MIB),
        ("4:memory:/\n", {"memory/memory.limit_in_bytes": f"{512 * MIB}\n"}, 512 * MIB),
        ("4:memory:/docker/1\n", {"memory/memory.limit_in_bytes": f"{512 * MIB}\n"}, 512 * MIB),
        ("4:memory:/a\n", {"memory/a/memory.limit_in_bytes": UNLIMITED_V1}, None),
        ("4:cpu,memory:/a\n", {"cpu,memory/a/memory.limit_in_bytes": f"{MIB}"}, MIB),
        (
            "4:memory:/a\n0::/\n",
            {"memory/a/memory.limit_in_bytes": f"{800 * MIB}", "unified/memory.max": f"{700 * MIB}"},
            700 * MIB,
        ),
        ("5:cpu:/a\n", {"memory/a/memory.limit_in_bytes": f"{MIB}"}, None),
        ("0::/\n", {"memory.max": "half of it"}, None),
        ("nonsense", {}, None),
    ],
)
def test_the_limit_of_a_container(tmp_path: Path, groups: str, limits: dict[str, str], limit: int | None) -> None:
    assert group_limit_bytes(root(tmp_path, groups, limits)) == limit


def test_the_smaller_of_machine_and_container_counts(tmp_path: Path) -> None:
    machine = machine_memory_bytes()
    assert machine > 2**28
    assert memory_bytes(root(tmp_path / "small", "0::/\n", {"memory.max": f"{machine // 2}"})) == machine // 2
    assert memory_bytes(root(tmp_path / "large", "0::/\n", {"memory.max": f"{machine * 2}"})) == machine
    assert memory_bytes(tmp_path / "without") == machine
