"""The two forms of a reply, and that what one says the other says as well."""

from __future__ import annotations

import json
from base64 import b64decode

from hypothesis import given
from hypothesis import strategies as st

from turnwise.sandbox.execute.replies import HandedReply, as_bytes, as_text, reply_bytes

CONTENTS = st.lists(st.binary(max_size=40), max_size=4)


def reply(contents: list[bytes]) -> HandedReply:
    """A reply to several requests, in which contents stand between texts."""
    if not contents:
        return b'{"ok":{"handle":"h"}}'
    parts: list[bytes | memoryview] = [b'{"results":[{"ok":']
    for content in contents:
        parts += [memoryview(content), b'},{"ok":']
    parts[-1] = b'},{"error":{"kind":"denied"}}]}'
    return tuple(parts)


@given(CONTENTS)
def test_both_forms_hold_the_same(contents: list[bytes]) -> None:
    whole = b"".join(as_bytes(reply(contents)))
    line, rest = whole[: whole.index(b"\n")], whole[whole.index(b"\n") + 1 :]
    beside, text = json.loads(line), json.loads(as_text(reply(contents)))
    if not contents:
        assert (beside, rest) == (text, b"")
        return
    for index, content in enumerate(contents):
        size = beside["results"][index]["ok"]["bytes"]
        assert rest[:size] == b64decode(text["results"][index]["ok"]["data"]) == content
        rest = rest[size:]
    assert rest == b""
    assert beside["results"][-1] == text["results"][-1] == {"error": {"kind": "denied"}}


def test_contents_are_not_copied() -> None:
    content = bytes(range(256))
    parts = as_bytes((b'{"ok":', memoryview(content), b"}"))
    assert isinstance(parts[2], memoryview)
    assert parts[2].obj is content


def test_the_size_is_that_of_texts_and_contents() -> None:
    assert reply_bytes(b"12345") == 5
    assert reply_bytes((b"12", b"3456", b"7")) == 7
