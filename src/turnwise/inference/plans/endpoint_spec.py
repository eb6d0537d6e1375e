"""A model behind a URL, as a world asks for it."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal

from turnwise.core.canonical import canonical

EndpointTask = Literal["generate", "embed"]
"""The effect that such a model answers."""

SECONDS_MAX_DEFAULT: Final = 300
REQUESTS_AT_ONCE_DEFAULT: Final = 8
REPLY_KIB_DEFAULT: Final = 4_096


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """A model that answers over HTTP by the OpenAI API."""

    name: str
    """Name by which agents ask it."""
    url: str
    """Address of the API, without a slash at its end: `http://127.0.0.1:11434/v1`."""
    model: str
    """Name of the model there."""
    task: EndpointTask = "generate"
    """Effect that it answers."""
    key: str | None = None
    """Reference of the key that it wants, `env:NAME`; None: none. The key itself is known where it is sent only."""
    seconds_max: int = SECONDS_MAX_DEFAULT
    """Time of a request, with all that is tried again."""
    requests_at_once: int = REQUESTS_AT_ONCE_DEFAULT
    """Requests that it has at a time; others wait."""
    reply_bytes_max: int = REPLY_KIB_DEFAULT * 1024
    """Bytes of an answer."""

    @property
    def sha256(self) -> str:
        """SHA-256 (hex) of what is asked: address, name and task, since nobody here knows the content."""
        return sha256(canonical({"url": self.url, "model": self.model, "task": self.task}).encode()).hexdigest()
