"""Log probabilities in the forms of the API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from turnwise.inference.requests.fields import kind
from turnwise.inference.requests.generate_request import LOGPROBS_MAX
from turnwise.serving.api_error import refuse
from turnwise.serving.parameters import Parameters

Entry = dict[str, Any]
"""An entry of a reply's `logprobs`."""


def read_chat_logprobs(members: Parameters) -> int | None:
    """Read `logprobs` and `top_logprobs`; returns the number of alternatives, None for nothing. Raises ApiError."""
    wanted = members.boolean("logprobs")
    count = members.integer("top_logprobs", 0, LOGPROBS_MAX)
    if count is not None and not wanted:
        refuse("top_logprobs needs logprobs to be true", "top_logprobs")
    return (count or 0) if wanted else None


def read_text_logprobs(members: Parameters) -> int | None:
    """Read `logprobs` of the older path, a number. Raises ApiError."""
    value = members.take("logprobs")
    if value is None:
        return None
    if type(value) is not int or not 0 <= value <= LOGPROBS_MAX:
        shown = value if type(value) is int else kind(value)
        refuse(f"logprobs must be a whole number from 0 to {LOGPROBS_MAX}, not {shown}", "logprobs")
    return value


def told_entries(reply: Mapping[str, Any]) -> list[Entry]:
    """Return the entries of a reply for what is told: without that of an end token, which writes nothing."""
    entries: list[Entry] = reply.get("logprobs", [])
    if entries and reply["finish"] == "end" and not reply["text"].endswith(entries[-1]["text"] or "\0"):
        return entries[:-1]
    return entries


def chat_logprobs(entries: Iterable[Entry]) -> dict[str, Any]:
    """Return log probabilities as chat completions have them."""
    content = [{**_token(entry), "top_logprobs": [_token(other) for other in entry["top"]]} for entry in entries]
    return {"content": content, "refusal": None}


def text_logprobs(entries: Sequence[Entry], offset: int = 0) -> dict[str, Any]:
    """Return log probabilities as completions have them; `offset` is the place in the text of the first."""
    offsets = []
    for entry in entries:
        offsets.append(offset)
        offset += len(entry["text"])
    return {
        "tokens": [entry["text"] for entry in entries],
        "token_logprobs": [entry["logprob"] for entry in entries],
        "top_logprobs": [{other["text"]: other["logprob"] for other in entry["top"]} for entry in entries],
        "text_offset": offsets,
    }


def _token(entry: Entry) -> dict[str, Any]:
    text = entry["text"]
    return {"token": text, "logprob": entry["logprob"], "bytes": None if "\ufffd" in text else list(text.encode())}
