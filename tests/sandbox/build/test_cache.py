"""The cache of compiled code: what it did not write itself, whole, it does not load."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from turnwise.errors import EnvironmentFailure
from turnwise.sandbox.build.cache import Cache

ENGINE = "e" * 64
FACTS = {"carrier": "module"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "cache"


def test_what_was_stored_is_found_again_by_another_process(root: Path) -> None:
    stored = Cache(ENGINE, root).store("name", b"code", FACTS)
    found = Cache(ENGINE, root).find("name")
    assert found == stored
    assert found.path.read_bytes() == b"code"
    assert found.facts == FACTS
    assert Cache(ENGINE, root).find("other") is None
    assert Cache("f" * 64, root).find("name") is None, "another engine must not load it"


@pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
def test_nobody_else_can_read_or_write_it(root: Path) -> None:
    os.umask(os.umask(0))
    cache = Cache(ENGINE, root)
    artefact = cache.store("name", b"code", FACTS)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (root, cache.folder, root / "key", artefact.path)}
    assert list(modes.values()) == [0o700, 0o700, 0o600, 0o600]


@pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
@pytest.mark.parametrize("which", ["root", "engine"])
@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_a_folder_that_others_can_write_to_is_refused(root: Path, which: str, mode: int) -> None:
    folder = root if which == "root" else Cache(ENGINE, root).folder
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    Cache(ENGINE, root)  # the control: that others can read it is no danger
    folder.chmod(mode)
    with pytest.raises(EnvironmentFailure, match="TURNWISE_CACHE"):
        Cache(ENGINE, root)


@pytest.mark.skipif(sys.platform == "win32", reason="owners of POSIX")
def test_a_folder_of_somebody_else_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Cache(ENGINE, root)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(EnvironmentFailure, match="somebody else"):
        Cache(ENGINE, root)


def test_a_file_in_its_place_is_an_error_for_people(root: Path) -> None:
    root.parent.mkdir()
    root.write_text("not a folder")
    with pytest.raises(EnvironmentFailure) as caught:
        Cache(ENGINE, root)
    assert caught.value.where == str(root)


def test_whatever_has_been_changed_is_not_loaded(root: Path) -> None:
    cache = Cache(ENGINE, root)
    artefact = cache.store("name", b"code", FACTS)
    entry = cache.folder / "name.json"
    good = entry.read_bytes()

    artefact.path.write_bytes(b"evil")
    assert cache.find("name") is None
    artefact.path.write_bytes(b"code")
    assert cache.find("name") is not None

    for position in range(len(good)):
        entry.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
        assert cache.find("name") is None, position
    strange = b'{"digest":"%s","facts":{"carrier":"module"},"signature":"%s"}'
    for text in (
        *(b"", b"[]", b"{}", b"null", good[:-1], good + b"x", b"\xff" * 100, b"[" * 60_000),
        *(strange % (b"\xff\xfe", b"x"), strange % (b"x", b"\xff"), strange % ("é".encode(), "é".encode())),
        *(strange % (b"../x", b"x"), strange % (b"\\u0000", b"\\u0000"), strange % (b"\\ud800", b"x")),
    ):
        entry.write_bytes(text)
        assert cache.find("name") is None, text
    for position in range(len(good)):
        entry.write_bytes(good[:position] + b"\xc3" + good[position + 1 :])
        assert cache.find("name") is None, position
    entry.unlink()
    entry.mkdir()
    assert cache.find("name") is None
    entry.rmdir()

    entry.write_bytes(good)
    assert cache.find("name") is not None
    (cache.folder / "other.json").write_bytes(good)
    assert cache.find("other") is None, "an entry signed for one name is worth nothing under another"

    artefact.path.unlink()
    assert cache.find("name") is None
    assert cache.store("name", b"code", FACTS) == cache.find("name")


def test_another_key_makes_everything_absent(root: Path) -> None:
    Cache(ENGINE, root).store("name", b"code", FACTS)
    (root / "key").write_bytes(b"k" * 32)
    assert Cache(ENGINE, root).find("name") is None


@pytest.mark.parametrize("key", [b"", b"short", b"x" * 33])
def test_a_damaged_key_is_replaced_and_what_it_signed_is_absent(root: Path, key: bytes) -> None:
    Cache(ENGINE, root).store("name", b"code", FACTS)
    (root / "key").write_bytes(key)
    cache = Cache(ENGINE, root)
    assert cache.find("name") is None
    assert cache.store("name", b"code", FACTS) == Cache(ENGINE, root).find("name")
    assert len((root / "key").read_bytes()) == 32


def test_what_was_not_used_for_longest_goes_first(root: Path) -> None:
    cache = Cache(ENGINE, root, bytes_max=250)
    for number, name in enumerate(("a", "b")):
        path = cache.store(name, name.encode() * 100, FACTS).path
        os.utime(path, (number, number))
    assert cache.find("a") is not None  # is used now
    cache.store("c", b"c" * 100, FACTS)
    assert [name for name in "abc" if cache.find(name)] == ["a", "c"]
    huge = cache.store("huge", b"h" * 1_000, FACTS)
    assert huge.path.exists(), "what is being stored is never what goes"


def test_many_processes_make_one_key_and_whole_artefacts(root: Path) -> None:
    program = """
import sys
from pathlib import Path
from turnwise.sandbox.build.cache import Cache
root, number = Path(sys.argv[1]), int(sys.argv[2])
cache = Cache("e" * 64, root)
for turn in range(20):
    content = bytes([number]) * 10_000
    assert cache.store("shared", content, {"by": str(number)}).path.read_bytes() == content
    found = cache.find("shared")
    assert found is None or set(found.path.read_bytes()) == {int(found.facts["by"])}
print(cache._key.hex())
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, str(root)]
    children = [
        subprocess.Popen([*command, str(number)], stdout=subprocess.PIPE, text=True, env=environment)
        for number in range(4)
    ]
    keys = {child.communicate()[0] for child in children}
    assert [child.returncode for child in children] == [0] * 4
    assert len(keys) == 1
    assert not list(root.rglob("new-*"))
