"""Kind `files`: listing, reading, searching and writing, each within its bounds."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.tools.kinds.serving import call, calls, tools
from turnwise.tools.kinds import files, folder
from turnwise.tools.kinds.files import FilesServer, settings_of
from turnwise.tools.kinds.settings import SettingsError
from turnwise.tools.server import ToolResult, ToolUnavailableError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="files cannot be opened relative to a folder there")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    docs = tmp_path / "docs"
    (docs / "deep" / "deeper").mkdir(parents=True)
    (docs / "a.txt").write_text("One\ntwo\nthree\n", encoding="utf-8")
    (docs / "deep" / "b.md").write_text("# two\nThe number TWO.", encoding="utf-8")
    (docs / "deep" / "deeper" / "c.bin").write_bytes(b"two\0two")
    (docs / "latin").write_bytes("zwölf two".encode("latin-1"))
    (tmp_path / "secret.txt").write_text("two", encoding="utf-8")
    return tmp_path


def server(base: Path, **settings: Any) -> FilesServer:
    """A server that does not confine this process, which has other tests to run."""
    return FilesServer(settings_of({"folder": "docs", **settings}), base, confined=False)


def test_what_there_is(base: Path) -> None:
    assert list(tools(server(base))) == ["list", "read", "search"]
    listed = tools(server(base, write=["out"]))
    assert list(listed) == ["list", "read", "search", "write"]
    assert files.names({"folder": "docs"}, base) == ["list", "read", "search"]
    assert files.names({"folder": "docs", "write": ["out"]}, base) == ["list", "read", "search", "write"]
    for spec in listed.values():
        jsonschema.Draft202012Validator.check_schema(spec.input_schema)
        jsonschema.Draft202012Validator.check_schema(spec.output_schema)


def test_results_follow_their_schemas(base: Path) -> None:
    wanted: list[tuple[str, dict[str, Any]]] = [
        ("list", {}),
        ("list", {"depth": 3}),
        ("read", {"path": "a.txt"}),
        ("search", {"text": "two"}),
        ("write", {"path": "new", "text": "x"}),
    ]
    one = server(base, write=["."])
    listed = tools(one)
    for (name, args), result in zip(wanted, calls(server(base, write=["."]), *wanted), strict=True):
        jsonschema.validate(args, listed[name].input_schema)
        assert not result.is_error
        jsonschema.validate(result.data, listed[name].output_schema)


def test_listing(base: Path) -> None:
    (base / "docs" / "link").symlink_to(base / "secret.txt")
    flat, deep, part = calls(
        server(base), ("list", {}), ("list", {"path": ".", "depth": 2.0}), ("list", {"path": "deep", "depth": 32})
    )
    assert flat.text.splitlines() == [
        "a.txt  14 bytes",
        "deep/",
        "latin  9 bytes",
        "link  (a link; cannot be opened)",
    ]
    assert [entry["path"] for entry in deep.data["entries"]] == [
        "a.txt",
        "deep",
        "deep/b.md",
        "deep/deeper",
        "latin",
        "link",
    ]
    assert part.data == {
        "entries": [
            {"path": "deep/b.md", "kind": "file", "bytes": 21},
            {"path": "deep/deeper", "kind": "folder", "bytes": 0},
            {"path": "deep/deeper/c.bin", "kind": "file", "bytes": 7},
        ],
        "more": False,
        "left_out": 0,
    }


def test_a_list_has_a_bound(base: Path) -> None:
    result = call(server(base, entries_max=2), "list", {"depth": 9})
    assert [entry["path"] for entry in result.data["entries"]] == ["a.txt", "deep"]
    assert result.data["more"] is True
    assert result.text.endswith("… there are more; 2 are listed")
    assert call(server(base, entries_max=3), "list").data["more"] is False


def test_names_that_no_path_can_have_are_counted(base: Path) -> None:
    (base / "docs" / "deep" / "\x1b]0;title\x07").touch()
    result = call(server(base), "list", {"depth": 2})
    assert result.data["left_out"] == 1
    assert "\x1b" not in result.text
    assert "1 are left out" in result.text


def test_reading(base: Path) -> None:
    whole, part, after, end = calls(
        server(base),
        ("read", {"path": "a.txt"}),
        ("read", {"path": "a.txt", "from_line": 2, "lines_max": 1}),
        ("read", {"path": "./a.txt", "from_line": 3.0, "lines_max": 5.0}),
        ("read", {"path": "a.txt", "from_line": 9}),
    )
    assert whole == ToolResult("One\ntwo\nthree", {"from_line": 1, "to_line": 3, "lines": 3, "more": False})
    assert part == ToolResult("two", {"from_line": 2, "to_line": 2, "lines": 3, "more": True})
    assert (after.text, after.data["more"]) == ("three", False)
    assert (end.text, end.data["to_line"], end.data["more"]) == ("", 8, False)


def test_what_is_read_has_a_bound(base: Path) -> None:
    (base / "docs" / "long.txt").write_text("".join(f"{number:>99}\n" for number in range(100)), encoding="utf-8")
    (base / "docs" / "wide.txt").write_text("x" * 1025, encoding="utf-8")
    (base / "docs" / "exact.txt").write_text("x" * 1024, encoding="utf-8")
    long, wide, exact = calls(
        server(base, read_kib_max=1), *[("read", {"path": f"{name}.txt"}) for name in ("long", "wide", "exact")]
    )
    assert (long.data["to_line"], long.data["more"], len(long.text)) == (10, True, 999)
    assert wide == ToolResult("line 1 of 'wide.txt' is longer than 1 KiB", is_error=True)
    assert len(exact.text) == 1024
    (large,) = calls(server(base, file_kib_max=1), ("read", {"path": "wide.txt"}))
    assert large == ToolResult("'wide.txt' has more than 1,024 bytes", is_error=True)


@pytest.mark.parametrize("path", ["deep/deeper/c.bin", "latin"])
def test_what_is_no_text_is_named_by_its_size(base: Path, path: str) -> None:
    result = call(server(base), "read", {"path": path})
    assert result.is_error
    assert "is no text in UTF-8; it has" in result.text


FINE = {("deep", "list"), ("deep", "search"), (".", "list"), (".", "search"), ("nowhere", "write")}
"""What leads somewhere in the folder; all else below is an error."""


@pytest.mark.parametrize(
    "path", ["../secret.txt", "/etc/passwd", "deep/../../secret.txt", "nowhere", "deep", ".", "\0"]
)
@pytest.mark.parametrize("name", ["read", "search", "list", "write"])
def test_no_tool_leads_out_or_ends_in_more_than_an_error(base: Path, path: str, name: str) -> None:
    args = {"path": path, "text": "two"} if name in ("search", "write") else {"path": path}
    result = call(server(base, write=["."]), name, args)
    assert result.is_error is ((path, name) not in FINE)
    assert str(base) not in result.text


def test_searching(base: Path) -> None:
    result, with_case, in_file, nothing = calls(
        server(base),
        ("search", {"text": "two"}),
        ("search", {"text": "TWO", "case": True, "path": "deep"}),
        ("search", {"text": "t", "path": "a.txt"}),
        ("search", {"text": ".*"}),
    )
    assert result.data == {
        "matches": [
            {"path": "a.txt", "line": 2, "text": "two"},
            {"path": "deep/b.md", "line": 1, "text": "# two"},
            {"path": "deep/b.md", "line": 2, "text": "The number TWO."},
        ],
        "more": False,
        "skipped": 2,
    }
    assert with_case.text == "deep/b.md:2: The number TWO."
    assert [match["line"] for match in in_file.data["matches"]] == [2, 3]
    assert (nothing.text, nothing.data["matches"]) == ("nothing", [])


def test_a_search_has_bounds(base: Path) -> None:
    (base / "docs" / "wide.txt").write_text("two" * 1000, encoding="utf-8")
    result = call(server(base, matches_max=2), "search", {"text": "two"})
    assert (len(result.data["matches"]), result.data["more"]) == (2, True)
    assert result.text.endswith("… a bound ended the search; search in a part of the folder")
    wide = call(server(base), "search", {"text": "two", "path": "wide.txt"})
    assert len(wide.data["matches"][0]["text"]) == files.LINE_CHARS_MAX
    skipped = call(server(base, file_kib_max=1), "search", {"text": "two"})
    assert (skipped.data["skipped"], skipped.data["more"]) == (3, False)


def test_a_search_reads_so_much_and_no_more(base: Path) -> None:
    for name in ("x1", "x2", "x3"):
        (base / "docs" / name).write_bytes(b"needle" + b" " * 600_000)
    result = call(server(base, search_mib_max=1), "search", {"text": "needle"})
    assert [match["path"] for match in result.data["matches"]] == ["x1"]
    assert result.data["more"] is True


def test_writing_is_where_the_world_says(base: Path) -> None:
    one = server(base, write=["out", "deep/b.md"])
    new, again, replaced, more, file, *refused = calls(
        one,
        ("write", {"path": "out/a/new.txt", "text": "zwölf\n"}),
        ("write", {"path": "out/a/new.txt", "text": "x"}),
        ("write", {"path": "out/a/new.txt", "text": "x", "mode": "replace"}),
        ("write", {"path": "out/a/new.txt", "text": "y", "mode": "append"}),
        ("write", {"path": "deep/b.md", "text": "!", "mode": "append"}),
        ("write", {"path": "a.txt", "text": "x", "mode": "replace"}),
        ("write", {"path": "out/../a.txt", "text": "x", "mode": "replace"}),
        ("write", {"path": "output", "text": "x"}),
        ("write", {"path": "deep/b.md.txt", "text": "x"}),
        ("write", {"path": "out", "text": "x"}),
        ("write", {"path": "out/half", "text": "\ud800"}),
    )
    assert (new.text, new.data) == ("out/a/new.txt has 7 bytes now", {"bytes": 7})
    assert again.is_error
    assert (replaced.data, more.data, file.data) == ({"bytes": 1}, {"bytes": 2}, {"bytes": 22})
    assert all(result.is_error for result in refused)
    assert "'a.txt' may not be written; what may is: out, deep/b.md" in refused[0].text
    assert (base / "docs" / "out" / "a" / "new.txt").read_text() == "xy"
    assert (base / "docs" / "a.txt").read_text().startswith("One")
    assert not (base / "docs" / "output").exists()


def test_a_cancelled_search_ends(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search stands still at its first file until it has been cancelled, and reads no second one."""
    read, go_on, read_count = threading.Event(), threading.Event(), []
    original = folder.Folder.read

    def slow(self: folder.Folder, parts: tuple[str, ...], bytes_max: int) -> bytes:
        read_count.append(parts)
        read.set()
        assert go_on.wait(60)
        return original(self, parts, bytes_max)

    monkeypatch.setattr(folder.Folder, "read", slow)

    async def run() -> None:
        one = server(base)
        await one.start()
        task = asyncio.create_task(one.call("search", {"text": "two"}))
        assert await asyncio.to_thread(read.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        one._threads.shutdown(wait=True)  # type: ignore[union-attr]
        await one.close()

    asyncio.run(run())
    assert len(read_count) == 1


def test_a_folder_that_is_not_there(base: Path) -> None:
    with pytest.raises(ToolUnavailableError, match=r"the folder 'nowhere': No such file or directory"):
        call(server(base, folder="nowhere"), "list")
    with pytest.raises(ToolUnavailableError, match="Not a directory"):
        call(server(base, folder="secret.txt"), "list")


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({}, "folder"),
        ({"folder": 3}, "folder"),
        ({"folder": ".", "entries_max": 0}, "entries_max"),
        ({"folder": ".", "write": ["../x"]}, "write"),
        ({"folder": ".", "wirte": ["x"]}, "wirte"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], where: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings_of(settings)
    assert where in str(caught.value)


CONFINED = """
import asyncio, json, os, sys
from pathlib import Path
from turnwise.tools.kinds.files import server as make

async def main():
    base = Path(sys.argv[1])
    server = make({"folder": "docs", "write": json.loads(sys.argv[2])}, base)
    await server.start()
    said = {}
    for name, path in (("outside", base / "secret.txt"), ("inside", base / "docs/a.txt")):
        try:
            path.read_text()
            said[name] = "read"
        except OSError as error:
            said[name] = type(error).__name__
    try:
        (base / "docs/by-hand").write_text("x")
        said["write"] = "written"
    except OSError as error:
        said["write"] = type(error).__name__
    try:
        (base / "by-hand").write_text("x")
        said["write outside"] = "written"
    except OSError as error:
        said["write outside"] = type(error).__name__
    import xml.sax.expatreader  # modules can still be imported
    result = await server.call("write", {"path": "out", "text": "x"}) if json.loads(sys.argv[2]) else None
    said["tool"] = None if result is None else result.is_error
    said["read by tool"] = (await server.call("read", {"path": "a.txt"})).text
    await server.close()
    print(json.dumps(said))

asyncio.run(main())
"""


def landlock() -> bool:
    from turnwise.confine.landlock import version
    from turnwise.confine.measure import Unavailable

    try:
        return version() >= 1
    except (Unavailable, OSError):
        return False


@pytest.mark.skipif(not landlock(), reason="this kernel has no Landlock")
@pytest.mark.parametrize("write", [[], ["."]])
def test_the_process_keeps_this_folder_only(base: Path, write: list[str]) -> None:
    """What the kernel denies, whoever asks: nothing here goes by the names that the tools refuse."""
    ended = subprocess.run(
        [sys.executable, "-c", CONFINED, base, json.dumps(write)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=dict(os.environ),
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == {
        "outside": "PermissionError",
        "inside": "read",
        "write": "written" if write else "PermissionError",
        "write outside": "PermissionError",
        "tool": False if write else None,
        "read by tool": "One\ntwo\nthree",
    }
