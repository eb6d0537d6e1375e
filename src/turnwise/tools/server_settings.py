"""Settings of one tool server, as the orchestrator starts it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

CALLS_AT_ONCE_DEFAULT: Final = 8
SECONDS_MAX_DEFAULT: Final = 60.0
REPLY_BYTES_MAX_DEFAULT: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """A tool server: what it is, and within which bounds it is called."""

    name: str
    """Name in the world."""
    kind: str
    """Module of `turnwise.tools.kinds`."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the kind, with references to secrets."""
    folder: Path = Path()
    """Folder that paths in the settings are relative to."""
    environment: Mapping[str, Any] = field(default_factory=dict)
    """Environment of the process: texts, and references to secrets."""
    calls_at_once: int = CALLS_AT_ONCE_DEFAULT
    """Calls that run at a time."""
    seconds_max: float = SECONDS_MAX_DEFAULT
    """Seconds that a call may take."""
    reply_bytes_max: int = REPLY_BYTES_MAX_DEFAULT
    """Bytes of a reply as JSON."""
    idempotent: bool | tuple[str, ...] = False
    """True: all its tools may be called again after a crash; or the names of those that may."""

    def is_idempotent(self, tool: str) -> bool:
        """Return whether a tool of it may be called again when nobody knows what became of a call."""
        return self.idempotent if isinstance(self.idempotent, bool) else tool in self.idempotent
