from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from turnwise.errors import ModelError
from turnwise.inference.folders import content_hash as module
from turnwise.inference.folders.content_hash import CACHED_BYTES_MIN, content_hash

LONG_AGO_NS = 1_000_000_000_000_000_000


def test_it_is_the_hash_of_a_manifest_of_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"two")
    (tmp_path / "a").write_bytes(b"one")
    files = {"b": tmp_path / "b", "a": tmp_path / "a"}
    parts = ",".join(f'"{name}":"{hashlib.sha256(text).hexdigest()}"' for name, text in (("a", b"one"), ("b", b"two")))
    expected = hashlib.sha256(('{"files":{' + parts + '},"format":1}').encode()).hexdigest()
    assert content_hash(files, cache=tmp_path) == expected
    assert content_hash({"c": tmp_path / "b", "a": tmp_path / "a"}, cache=tmp_path) != expected
    (tmp_path / "a").write_bytes(b"One")
    assert content_hash(files, cache=tmp_path) != expected


@pytest.fixture
def big(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is large enough to be remembered, and old enough by the clock that is used."""
    path = tmp_path / "big"
    path.write_bytes(bytes(CACHED_BYTES_MIN))
    later = path.stat().st_mtime_ns + 60_000_000_000
    monkeypatch.setattr(module.time, "time_ns", lambda: later)
    return path


def remembered(cache: Path) -> dict[str, str]:
    stored: dict[str, str] = json.loads((cache / "model-hashes.json").read_text())["entries"]
    return stored


def test_a_large_file_is_hashed_once(big: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = content_hash({"big": big}, cache=cache)
    (key,) = remembered(cache)
    # A marked entry shows that the digest comes from the cache.
    (cache / "model-hashes.json").write_text(json.dumps({"format": 2, "entries": {key: "0" * 64}}))
    assert content_hash({"big": big}, cache=cache) != first


def test_every_sign_of_a_change_makes_it_hash_again(big: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = content_hash({"big": big}, cache=cache)
    with big.open("r+b") as file:
        file.write(b"x")
    os.utime(big, ns=(LONG_AGO_NS, LONG_AGO_NS))
    second = content_hash({"big": big}, cache=cache)
    assert second != first
    replacement = tmp_path / "replacement"
    replacement.write_bytes(bytes(CACHED_BYTES_MIN))
    os.utime(replacement, ns=(LONG_AGO_NS, LONG_AGO_NS))
    replacement.replace(big)
    assert content_hash({"big": big}, cache=cache) == first


def test_a_change_that_gives_back_the_time_of_modification_shows(big: Path, tmp_path: Path) -> None:
    os.utime(big, ns=(LONG_AGO_NS, LONG_AGO_NS))
    before = big.stat()
    first = content_hash({"big": big}, cache=tmp_path / "cache")
    assert remembered(tmp_path / "cache")
    with big.open("r+b") as file:
        file.write(b"x")
    while big.stat().st_ctime_ns == before.st_ctime_ns:  # until the file system's clock has ticked
        os.utime(big, ns=(LONG_AGO_NS, LONG_AGO_NS))
    os.utime(big, ns=(LONG_AGO_NS, LONG_AGO_NS))
    assert big.stat().st_mtime_ns == before.st_mtime_ns
    assert content_hash({"big": big}, cache=tmp_path / "cache") != first


@pytest.mark.parametrize("modified_long_ago", [False, True])
@pytest.mark.parametrize("later_ns", [1_000_000_000, module.SETTLED_NS, module.SETTLED_NS + 1])
def test_what_changed_just_now_is_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, modified_long_ago: bool, later_ns: int
) -> None:
    path = tmp_path / "big"
    path.write_bytes(bytes(CACHED_BYTES_MIN))
    if modified_long_ago:
        os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))
    changed = max(path.stat().st_mtime_ns, path.stat().st_ctime_ns)
    monkeypatch.setattr(module.time, "time_ns", lambda: changed + later_ns)
    content_hash({"big": path}, cache=tmp_path / "cache")
    assert (tmp_path / "cache" / "model-hashes.json").exists() is (later_ns > module.SETTLED_NS)


@pytest.mark.parametrize("value", ["", "00", "Z" * 64, 5, None])
def test_what_is_no_digest_is_not_believed(big: Path, tmp_path: Path, value: object) -> None:
    cache = tmp_path / "cache"
    first = content_hash({"big": big}, cache=cache)
    (key,) = remembered(cache)
    (cache / "model-hashes.json").write_text(json.dumps({"format": 2, "entries": {key: value}}))
    assert content_hash({"big": big}, cache=cache) == first


def test_a_damaged_cache_is_no_cache(big: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = content_hash({"big": big}, cache=cache)
    (cache / "model-hashes.json").write_bytes(b'{"format":2,"entries":{"a":"\xff"}}')
    assert content_hash({"big": big}, cache=cache) == first


def test_a_cache_that_cannot_be_written_is_no_cache(big: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert content_hash({"big": big}, cache=tmp_path / "file" / "cache") == content_hash({"big": big}, cache=tmp_path)


def test_the_cache_is_bounded(big: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    old = {f"old {index}": "0" * 64 for index in range(module.CACHE_ENTRIES_MAX)}
    (cache / "model-hashes.json").write_text(json.dumps({"format": 2, "entries": old}))
    content_hash({"big": big}, cache=cache)
    entries = remembered(cache)
    assert len(entries) == module.CACHE_ENTRIES_MAX
    assert "old 0" not in entries


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        content_hash({"gone": tmp_path / "gone"}, cache=tmp_path)
