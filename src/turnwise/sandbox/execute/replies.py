"""Replies as they are handed to a sandbox, and the two forms in which a guest gets them.

A content within a reply is not part of its JSON text, since nobody knows yet in which form the guest asks: by `effect`
it gets base64, by `effect_bytes` the bytes themselves, behind the text.
"""

from __future__ import annotations

from base64 import b64encode

from turnwise.core.contents import Content

HandedReply = bytes | tuple[Content, ...]
"""JSON text, UTF-8; or its pieces, where a content comes in between each two: text, content, text, …"""


def reply_bytes(reply: HandedReply) -> int:
    """Return about how large a reply is."""
    return len(reply) if isinstance(reply, bytes) else sum(map(len, reply))


def as_text(reply: HandedReply) -> bytes:
    """Return a reply as JSON text, its contents in base64."""
    if isinstance(reply, bytes):
        return reply
    parts = [b'{"data":"%b"}' % b64encode(part) if index % 2 else part for index, part in enumerate(reply)]
    return b"".join(parts)


def as_bytes(reply: HandedReply) -> list[Content]:
    """Return a reply as a line of JSON text, which says how long its contents are, and these behind it, in order."""
    if isinstance(reply, bytes):
        return [reply, b"\n"]
    line = b"".join([b'{"bytes":%d}' % len(part) if index % 2 else part for index, part in enumerate(reply)])
    return [line, b"\n", *reply[1::2]]
