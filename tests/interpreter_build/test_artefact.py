"""Building an interpreter: once for the same inputs, and again when anything of it has changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from interpreter_build.artefact import DESCRIPTION, MODULE, Built, digest, keep_built, source_files


class Make:
    """A build that counts."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> Built:
        self.count += 1
        return Built(b"module %d" % self.count, {"version": self.count}, {"NOTICE.txt": b"of others"})


def test_module_description_and_what_goes_along_are_written_whole(tmp_path: Path) -> None:
    folder = keep_built(tmp_path / "out", "of these", Make())
    assert (folder / MODULE).read_bytes() == b"module 1"
    assert json.loads((folder / DESCRIPTION).read_text()) == {
        "bytes": 8,
        "inputs": "of these",
        "sha256": "444906af2819cdac27778b93799f22d04a31e1256c4f0f4f84c4072c326c3996",
        "version": 1,
    }
    assert (folder / "NOTICE.txt").read_bytes() == b"of others"
    assert sorted(path.name for path in folder.iterdir()) == ["NOTICE.txt", DESCRIPTION, MODULE]


def test_what_is_built_of_the_same_is_kept(tmp_path: Path) -> None:
    make = Make()
    for _ in range(2):
        keep_built(tmp_path, "of these", make)
    assert make.count == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [(MODULE, b"damaged"), (MODULE, None), (DESCRIPTION, None)]
    + [(DESCRIPTION, text) for text in (b"{", b"\xff", b"[]", b"null", b"{}", b'{"inputs": "of these"}')],
)
def test_a_file_that_is_damaged_or_gone_is_built_again(tmp_path: Path, name: str, content: bytes | None) -> None:
    make = Make()
    keep_built(tmp_path, "of these", make)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    keep_built(tmp_path, "of these", make)
    assert (make.count, (tmp_path / MODULE).read_bytes()) == (2, b"module 2")


def test_other_inputs_and_force_build_again(tmp_path: Path) -> None:
    make = Make()
    keep_built(tmp_path, "of these", make)
    keep_built(tmp_path, "of those", make)
    keep_built(tmp_path, "of those", make, force=True)
    assert make.count == 3


def test_a_digest_knows_tools_names_order_and_contents(tmp_path: Path) -> None:
    for name, content in (("a.py", "1"), ("b.py", "23"), ("sub/c.py", "4"), ("d.txt", "no source")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    files = source_files(tmp_path, ["sub", "a.py", "."], (".py",))
    assert [path.relative_to(tmp_path).as_posix() for path in files] == [
        "sub/c.py",
        "a.py",
        "a.py",
        "b.py",
        "sub/c.py",
    ]
    first, second = tmp_path / "a.py", tmp_path / "b.py"
    digests = {digest("tool 1", tmp_path, [first, second]), digest("tool 2", tmp_path, [first, second])}
    digests |= {digest("tool 1", tmp_path, [second, first]), digest("tool 1", tmp_path, [first])}
    first.write_text("12")
    second.write_text("3")
    digests.add(digest("tool 1", tmp_path, [first, second]))
    first.rename(tmp_path / "e.py")
    digests.add(digest("tool 1", tmp_path, [tmp_path / "e.py", second]))
    assert len(digests) == 6
