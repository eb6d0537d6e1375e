"""A folder: no name, link, device or race leads out of it, and what is written is whole."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import stat
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from turnwise.tools.kinds import folder as module
from turnwise.tools.kinds.folder import Folder, PathRefusal, path_parts

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="files cannot be opened relative to a folder there")
KIB = 1024


@pytest.fixture
def root(tmp_path: Path) -> Path:
    inside = tmp_path / "inside"
    (inside / "notes").mkdir(parents=True)
    (inside / "notes" / "a.txt").write_text("one\ntwo\n")
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text("secret")
    return inside


@pytest.fixture
def folder(root: Path) -> Iterator[Folder]:
    opened = Folder(root)
    yield opened
    opened.close()
    opened.close()


@pytest.mark.parametrize("path", ["", ".", "./", "./."])
def test_the_folder_itself(path: str) -> None:
    assert path_parts(path) == ()


def test_parts_are_separated_by_slashes() -> None:
    assert path_parts("./notes//a.txt/") == ("notes", "a.txt")


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/etc/passwd", "absolute"),
        ("//etc/passwd", "absolute"),
        ("..", r"\.\."),
        ("notes/../../secret.txt", r"\.\."),
        ("notes/../notes/a.txt", r"\.\."),
        ("notes\\..\\..\\secret.txt", "backslash"),
        ("notes/a.txt\0.png", "control characters"),
        ("notes/a\u202etxt", "control characters"),
        ("notes/\ud800", "control characters"),
        ("a/" * 100, "100 parts"),
        ("a" * 5000, "5,000 characters"),
    ],
)
def test_names_that_lead_out_are_refused(path: str, why: str) -> None:
    with pytest.raises(PathRefusal, match=why):
        path_parts(path)


def test_a_path_may_have_so_many_characters_and_parts() -> None:
    assert path_parts("a" * module.PATH_CHARS_MAX) == ("a" * module.PATH_CHARS_MAX,)
    assert len(path_parts("a/" * module.PATH_PARTS_MAX)) == module.PATH_PARTS_MAX
    for path in ("a" * (module.PATH_CHARS_MAX + 1), "a/" * (module.PATH_PARTS_MAX + 1)):
        with pytest.raises(PathRefusal):
            path_parts(path)


def test_a_system_that_cannot_do_it_is_told_of(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert module.SUPPORTED
    monkeypatch.setattr(module, "SUPPORTED", False)
    with pytest.raises(OSError, match="cannot open files relative to a folder"):
        Folder(root)


def test_nothing_stays_open(folder: Folder, root: Path) -> None:
    (root / "link").symlink_to("notes")
    before = set(os.listdir("/dev/fd"))  # noqa: PTH208
    for _ in range(3):
        folder.read(("notes", "a.txt"), KIB)
        folder.entries(("notes",))
        folder.entry(("notes", "a.txt"))
        folder.write(("notes", "b.txt"), b"x", "replace", KIB)
        folder.write(("new", "deep", "b.txt"), b"x", "append", KIB)
        for path in (("notes",), ("link", "a.txt"), ("notes", "a.txt", "x"), ("notes", "missing")):
            with pytest.raises(PathRefusal):
                folder.read(path, KIB)
    after = {name for name in os.listdir("/dev/fd") if name not in before}  # noqa: PTH208
    assert len(after) <= 1  # that of the listing itself


def test_a_link_is_a_link_and_not_what_it_leads_to(folder: Folder, root: Path) -> None:
    (root / "link").symlink_to(root / "notes")
    assert folder.entry(("link",)).kind == "link"
    assert folder.entry(()).kind == "folder"
    assert folder.entry(("notes", "a.txt")) == module.Entry("a.txt", "file", 8)


def test_a_folder_that_may_not_be_opened(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no link and no file: what the system says stands there."""
    original = os.open

    def refuse(path: Any, *arguments: Any, **named: Any) -> int:
        if path == "notes":
            raise PermissionError(13, "Permission denied")
        return original(path, *arguments, **named)

    monkeypatch.setattr(module.os, "open", refuse)
    with pytest.raises(PathRefusal, match="'notes': Permission denied"):
        folder.read(("notes", "a.txt"), KIB)


def test_a_file_that_cannot_take_the_others_place_is_removed(
    folder: Folder, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(module.os, "rename", refuse)
    with pytest.raises(PathRefusal, match="Input/output error"):
        folder.write(("notes", "a.txt"), b"x", "replace", KIB)
    assert [path.name for path in (root / "notes").iterdir()] == ["a.txt"]


def test_dots_in_a_name_are_a_name(folder: Folder, root: Path) -> None:
    (root / "...").write_text("dots")
    assert folder.read(path_parts("..."), KIB) == b"dots"


def test_links_are_not_followed(folder: Folder, root: Path) -> None:
    (root / "file").symlink_to(root.parent / "secret.txt")
    (root / "folder").symlink_to(root.parent / "outside")
    (root / "notes" / "up").symlink_to("../..")
    (root / "inner").symlink_to("notes")
    for path in ("file", "folder/secret.txt", "notes/up/secret.txt", "inner/a.txt"):
        with pytest.raises(PathRefusal, match="a link"):
            folder.read(path_parts(path), KIB)
        with pytest.raises(PathRefusal, match="a link"):
            folder.write(path_parts(path), b"x", "replace", KIB)
    with pytest.raises(PathRefusal, match="a link"):
        folder.entries(("folder",))
    assert {entry.name: entry.kind for entry in folder.entries(())[0]} == {
        "file": "link",
        "folder": "link",
        "inner": "link",
        "notes": "folder",
    }
    assert (root.parent / "secret.txt").read_text() == "secret"


def test_the_folder_may_be_given_by_a_link(root: Path) -> None:
    link = root.parent / "link"
    link.symlink_to(root)
    opened = Folder(link)
    assert opened.read(("notes", "a.txt"), KIB) == b"one\ntwo\n"
    opened.close()
    with pytest.raises(PathRefusal, match="closed"):
        opened.read(("notes", "a.txt"), KIB)


def test_devices_pipes_and_sockets_are_not_opened(folder: Folder, root: Path) -> None:
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(root)  # names of sockets are short
        try:
            server.bind("socket")
        finally:
            os.chdir(here)
        for name in ("pipe", "socket"):
            with pytest.raises(PathRefusal, match="a device, pipe or socket"):
                folder.read((name,), KIB)
            with pytest.raises(PathRefusal, match="a device, pipe or socket"):
                folder.write((name,), b"x", "append", KIB)


def test_a_pipe_that_takes_a_files_place_after_the_check_holds_nobody(
    folder: Folder, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look before the opening sees the file, the opening meets the pipe."""
    before = (root / "notes" / "a.txt").stat()
    (root / "notes" / "a.txt").unlink()
    os.mkfifo(root / "notes" / "a.txt")
    monkeypatch.setattr(module.os, "stat", lambda *_, **__: before)
    with pytest.raises(PathRefusal, match="a device, pipe or socket"):
        folder.read(("notes", "a.txt"), KIB)


def test_a_link_that_takes_a_files_place_after_the_check_is_not_followed(
    folder: Folder, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (root / "notes" / "a.txt").stat()
    (root / "notes" / "a.txt").unlink()
    (root / "notes" / "a.txt").symlink_to(root.parent / "secret.txt")
    monkeypatch.setattr(module.os, "stat", lambda *_, **__: before)
    with pytest.raises(PathRefusal, match=r"a.txt"):
        folder.read(("notes", "a.txt"), KIB)


def test_a_folder_that_is_exchanged_again_and_again_never_leads_out(folder: Folder, root: Path) -> None:
    """Another thread exchanges a folder for a link to one outside, as fast as it can, while files are read and written.

    Reading by a path, as a control, comes out during the same exchanges.
    """
    stop = threading.Event()
    now, spare, outside = root / "now", root / "spare", root.parent / "outside"
    spare.mkdir()
    (spare / "secret.txt").write_text("inside")

    def exchange() -> None:
        while not stop.is_set():
            try:
                spare.rename(now)
                now.rename(spare)
                now.symlink_to(outside)
                now.unlink()
            except OSError:  # a folder that was made for a file to be written
                shutil.rmtree(now, ignore_errors=True)

    thread = threading.Thread(target=exchange)
    thread.start()
    seen, seen_by_path, refusals = set(), set(), 0
    try:
        while {b"inside"} != seen or refusals < 1000 or b"secret" not in seen_by_path:
            try:
                seen.add(folder.read(("now", "secret.txt"), KIB))
            except PathRefusal:
                refusals += 1
            with contextlib.suppress(PathRefusal):
                folder.write(("now", f"new-{refusals}"), b"x", "create", KIB)
            with contextlib.suppress(OSError):
                seen_by_path.add((now / "secret.txt").read_bytes())
    finally:
        stop.set()
        thread.join()
    assert [path.name for path in outside.iterdir()] == ["secret.txt"]


def test_a_hard_link_is_left_as_it_is_by_writing(folder: Folder, root: Path) -> None:
    os.link(root.parent / "secret.txt", root / "same")
    folder.write(("same",), b"mine", "replace", KIB)
    folder.write(("same",), b"!", "append", KIB)
    assert (root / "same").read_text() == "mine!"
    assert (root.parent / "secret.txt").read_text() == "secret"


def test_what_is_larger_than_the_bound_is_refused(folder: Folder, root: Path) -> None:
    (root / "large").write_bytes(b"x" * 2000)
    with pytest.raises(PathRefusal, match="more than 1,024 bytes"):
        folder.read(("large",), KIB)
    with pytest.raises(PathRefusal, match="would have 1,025 bytes"):
        folder.write(("new",), b"x" * 1025, "create", KIB)
    assert folder.write(("notes", "a.txt"), b"y" * 1016, "append", KIB) == KIB
    with pytest.raises(PathRefusal, match="would have 1,025 bytes"):
        folder.write(("notes", "a.txt"), b"y", "append", KIB)
    assert not (root / "new").exists()


def test_writing(folder: Folder, root: Path) -> None:
    assert folder.write(("new", "deep", "b.txt"), b"b", "create", KIB) == 1
    with pytest.raises(PathRefusal, match="is there already"):
        folder.write(("new", "deep", "b.txt"), b"c", "create", KIB)
    (root / "new" / "deep" / "b.txt").chmod(0o640)
    assert folder.write(("new", "deep", "b.txt"), b"cc", "append", KIB) == 3
    assert folder.write(("new", "deep", "b.txt"), b"d", "replace", KIB) == 1
    assert stat.S_IMODE((root / "new" / "deep" / "b.txt").stat().st_mode) == 0o640
    assert folder.write(("new", "c.txt"), b"", "append", KIB) == 0
    for path in ((), ("notes",)):
        with pytest.raises(PathRefusal, match=r"the folder|a folder"):
            folder.write(path, b"x", "replace", KIB)
    with pytest.raises(PathRefusal, match=r"'notes/a.txt' is a file, not a folder"):
        folder.write(("notes", "a.txt", "b"), b"x", "create", KIB)
    assert sorted(path.name for path in (root / "new").rglob("*")) == ["b.txt", "c.txt", "deep"]


def test_a_file_that_cannot_be_written_whole_is_removed(
    folder: Folder, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    for name, mode in (("new", "create"), ("notes/a.txt", "replace"), ("notes/a.txt", "append")):
        with pytest.raises(PathRefusal, match="No space left on device"):
            folder.write(path_parts(name), b"x", mode, KIB)  # type: ignore[arg-type]
    assert sorted(path.name for path in root.rglob("*")) == ["a.txt", "notes"]
    assert (root / "notes" / "a.txt").read_text() == "one\ntwo\n"


def test_entries_are_in_order_and_strange_names_are_counted(folder: Folder, root: Path) -> None:
    for name in ("z", "b", "\x1b[2J", "back\\slash"):
        (root / name).write_text("12345")
    os.close(os.open(os.fsencode(root) + b"/\xff", os.O_CREAT | os.O_WRONLY))
    entries, left_out = folder.entries(())
    assert [(entry.name, entry.kind, entry.size_bytes) for entry in entries] == [
        ("b", "file", 5),
        ("notes", "folder", 0),
        ("z", "file", 5),
    ]
    assert left_out == 3


def test_a_folder_with_too_many_entries_is_refused(folder: Folder, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.setattr(module, "ENTRIES_MAX", 3)
    for number in range(3):
        (root / str(number)).touch()
    with pytest.raises(PathRefusal, match="more than 3 entries"):
        folder.entries(())


def test_refusals_say_no_name_outside_the_folder(folder: Folder, root: Path) -> None:
    for path in ("missing", "missing/too", "notes/missing", "n" * 300):
        with pytest.raises(PathRefusal) as caught:
            folder.read(path_parts(path), KIB)
        assert str(root) not in str(caught.value)


def test_the_folder_stays_the_same_when_another_takes_its_name(folder: Folder, root: Path) -> None:
    root.rename(root.parent / "moved")
    (root / "notes").mkdir(parents=True)
    (root / "notes" / "a.txt").write_text("other")
    assert folder.read(("notes", "a.txt"), KIB) == b"one\ntwo\n"
