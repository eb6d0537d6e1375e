"""Contents by handle: what a recorded reply names."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import pytest

from turnwise.core.contents import (
    BesideText,
    Kept,
    Malformed,
    Piece,
    counted_bytes,
    get_reply,
    get_request,
    given_of,
    handed_over,
    handle_of,
    handles_in,
    put_of,
    put_reply,
    put_request,
)


def test_a_recorded_reply_names_the_content_and_the_piece_that_was_given() -> None:
    kept = Kept("ab" * 32, 100, 3, 1, 0)
    reply = get_reply(Piece(kept, 10, 20))
    assert reply == '{"ok":{"bytes":20,"sha256":"' + "ab" * 32 + '","start":10}}'
    assert given_of(reply) == "ab" * 32


@pytest.mark.parametrize(
    "reply",
    ["", "[]", "null", '{"error":{"kind":"x"}}', '{"ok":[]}', '{"ok":{}}', '{"ok":{"sha256":7}}', '{"ok":null}'],
)
def test_other_replies_name_none(reply: str) -> None:
    assert given_of(reply) is None


def test_a_put_is_recorded_by_size_and_hash() -> None:
    recorded, content = put_request({"effect": "put", "data": "aGVsbG8="}, BesideText(b""))
    assert content == b"hello"
    hashed = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    assert recorded == f'{{"bytes":5,"effect":"put","sha256":"{hashed}"}}'
    assert put_of(recorded, put_reply("the handle")) == ("the handle", hashed, 5)
    assert put_of(recorded, '{"error":{"kind":"refused"}}') is None
    assert put_of("[]", put_reply("the handle")) is None


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"effect": "put"}, "and nothing else"),
        ({"effect": "put", "data": 7}, "and nothing else"),
        ({"effect": "put", "data": "aGVsbG8=", "more": 1}, "and nothing else"),
        ({"effect": "put", "data": "aGVsbG8"}, "is not base64"),
        ({"effect": "put", "data": "aGVs bG8="}, "is not base64"),
        ({"effect": "put", "data": "aGVsbG8=", "bytes": 3}, "and nothing else"),
        ({"effect": "put", "bytes": -1}, "the number of bytes"),
        ({"effect": "put", "bytes": True}, "the number of bytes"),
        ({"effect": "put", "bytes": "3"}, "the number of bytes"),
        ({"effect": "put", "bytes": 1.0}, "the number of bytes"),
        ({"effect": "put", "bytes": 4}, "says 4 bytes, and 3 are beside"),
    ],
)
def test_what_is_no_put_is_said(item: dict[str, Any], said: str) -> None:
    with pytest.raises(Malformed, match=said):
        put_request(item, BesideText(b"xyz"))


def test_bytes_beside_a_request_are_recorded_as_the_same_bytes_in_base64() -> None:
    beside = BesideText(b"hello, you")
    assert put_request({"effect": "put", "bytes": 5}, beside) == put_request(
        {"effect": "put", "data": "aGVsbG8="}, BesideText(b"")
    )
    assert beside.left == 5
    assert put_request({"effect": "put", "bytes": 0}, beside)[1] == b""
    assert put_request({"effect": "put", "bytes": 5}, beside)[1] == b", you"
    assert beside.left == 0


def test_a_content_that_is_all_that_came_is_not_looked_at_as_a_part() -> None:
    content = memoryview(bytes(10))
    assert BesideText(content).take(10) is content


def test_a_handle_is_made_of_head_effect_and_content_and_ends_in_the_size() -> None:
    made = {
        handle_of(head, stream, one * 32, 5)
        for head in (b"a" * 32, b"b" * 32)
        for stream in (b"s", b"t")
        for one in ("ab", "cd")
    }
    assert len(made) == 8
    assert all(len(handle) == 66 and handle.endswith("-5") for handle in made)
    digest = blake2b(b"s" + bytes([0xAB] * 32), key=b"a" * 32, digest_size=32, person=b"turnwise handle1").hexdigest()
    assert handle_of(b"a" * 32, b"s", "ab" * 32, 5) == f"{digest}-5"


@pytest.mark.parametrize(("size", "counted"), [(0, 1024), (1024, 1024), (1025, 1025)])
def test_a_content_counts_a_kibibyte_at_least(size: int, counted: int) -> None:
    assert counted_bytes(size) == counted


@pytest.mark.parametrize(
    ("body", "read"),
    [
        ('{"effect":"get","handle":"h"}', ("h", 0, None)),
        ('{"effect":"get","handle":"h","start":0,"length":0}', ("h", 0, 0)),
        ('{"effect":"get","handle":"h","start":7,"length":9}', ("h", 7, 9)),
    ],
)
def test_a_get_names_a_handle_and_perhaps_a_part(body: str, read: tuple[str, int, int | None]) -> None:
    assert get_request(body) == read


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"effect":"get"}', "has 'handle'"),
        ('{"effect":"get","handle":7}', "has 'handle'"),
        ('{"effect":"get","handle":"h","more":1}', "has 'handle'"),
        ('{"effect":"get","handle":"h","start":-1}', "whole numbers"),
        ('{"effect":"get","handle":"h","start":true}', "whole numbers"),
        ('{"effect":"get","handle":"h","length":-1}', "whole numbers"),
        ('{"effect":"get","handle":"h","length":1.5}', "whole numbers"),
    ],
)
def test_what_is_no_get_is_said(body: str, said: str) -> None:
    with pytest.raises(Malformed, match=said):
        get_request(body)


def test_a_part_that_was_read_stands_between_the_ends_of_its_reply() -> None:
    piece = Piece(Kept("ab" * 32, 100, 3, 1, 0), 10, 20)
    assert handed_over(piece) == ('{"ok":', piece, "}")


@pytest.mark.parametrize(
    ("request_", "handles"),
    [
        ("{}", []),
        ('{"inputs":{"a":{"content":"h1"},"b":{"content":"h0"}}}', ["h0", "h1"]),
        ('{"inputs":[{"content":"h"},[{"content":"i"}],{"content":"h"}]}', ["h", "i"]),
        ('{"content":{"content":"deep"}}', ["deep"]),
        ('{"content":7,"a":{"content":null}}', []),
        ('{"a":"\\"content\\":\\"h\\""}', []),
        ('["content"]', []),
    ],
)
def test_a_request_names_contents_wherever_it_has_the_member(request_: str, handles: list[str]) -> None:
    assert handles_in(request_) == handles


@pytest.mark.parametrize(
    ("recorded", "reply"),
    [
        ('{"effect":"put","sha256":"s"}', '{"ok":{"handle":"h"}}'),
        ('{"effect":"put","bytes":1}', '{"ok":{"handle":"h"}}'),
        ('{"bytes":1,"effect":"put","sha256":"s"}', '{"ok":{}}'),
        ('{"bytes":1,"effect":"put","sha256":"s"}', '{"ok":7}'),
        ("nonsense", '{"ok":{"handle":"h"}}'),
        ('{"redacted":"' + "ab" * 32 + '"}', '{"ok":{"handle":"h"}}'),
    ],
)
def test_a_put_whose_texts_are_not_there_is_none(recorded: str, reply: str) -> None:
    assert put_of(recorded, reply) is None
