from __future__ import annotations

from pathlib import Path

import pytest

from turnwise.system.cache_file import FILE_BYTES_MAX, CacheFile
from turnwise.system.user_folders import cache_folder


def cache(folder: Path, **options: int) -> CacheFile:
    return CacheFile("c.json", folder, **{"format": 1, "entries_max": 3} | options)


def test_values_come_back_in_their_form(tmp_path: Path) -> None:
    cache(tmp_path / "new").add({"a": {"x": 1}, "b": "é"})
    found = cache(tmp_path / "new")
    assert found.get("a", dict[str, int]) == {"x": 1}
    assert found.get("b", str) == "é"
    assert found.get("a", str) is None
    assert found.get("c", str) is None
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["c.json"]


def test_the_oldest_go(tmp_path: Path) -> None:
    for key in ("a", "b", "c", "a", "d"):
        cache(tmp_path).add({key: key})
    assert [cache(tmp_path).get(key, str) for key in "abcd"] == ["a", None, "c", "d"]


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"format":1,"entries":{"a":"\xff"}}',
        b'{"format":1,"entries":{"a":"value","b":"\xff"}}',
        b'{"format":1,"entries":[1]}',
        b'{"format":1}',
        b'{"format":2,"entries":{"a":"value"}}',
        b'{"format":1,"entries":{"a":' + b"[" * 200_000,
        b'{"format":1,"entries":{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}}",
        b'{"format":1,"entries":{"a":1' + b"0" * 10_000 + b"}}",
        b'{"format":1,"entries":{"a":"value"}}' + b" " * FILE_BYTES_MAX,
    ],
    ids=lambda data: data[:24].decode(errors="replace") or "empty",
)
def test_what_is_damaged_is_absent_and_written_anew(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "c.json").write_bytes(damage)
    assert cache(tmp_path).get("a", str) is None
    cache(tmp_path).add({"k": "value"})
    assert cache(tmp_path).get("k", str) == "value"


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    """The control of the above."""
    (tmp_path / "c.json").write_bytes(b'{"format":1,"entries":{"a":"value"}}')
    assert cache(tmp_path).get("a", str) == "value"


def test_where_it_cannot_lie_nothing_is_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file" / "cache", tmp_path / "file"):
        cache(folder).add({"a": "value"})
        assert cache(folder).get("a", str) is None
    (tmp_path / "c.json").mkdir()
    cache(tmp_path).add({"a": "value"})
    assert cache(tmp_path).get("a", str) is None


def test_it_lies_in_the_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TURNWISE_CACHE", str(tmp_path))
    assert CacheFile("c.json", format=1, entries_max=1).path == cache_folder() / "c.json" == tmp_path / "c.json"
