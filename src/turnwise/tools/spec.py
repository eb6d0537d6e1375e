"""A tool as it is listed: the name, the words and the schemas that a run is pinned to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

TOOL_NAME: Final = re.compile(r"[A-Za-z0-9_./-]{1,128}")
"""A tool's name at its server; others are left out of the list, with a line that says so."""

TOOLS_MAX: Final = 256
"""Tools of one server."""

DESCRIPTION_CHARS_MAX: Final = 16_384
"""Characters of a tool's description."""

SCHEMA_BYTES_MAX: Final = 64 * 1024
"""Bytes of each schema of a tool, as JSON."""


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """One tool of one server."""

    name: str
    """Name at its server (`TOOL_NAME`). Agents call it by `SERVER.NAME`."""
    description: str = ""
    """Description for agents and models, in the server's words: untrusted text."""
    input_schema: dict[str, Any] | None = None
    """JSON Schema (2020-12) of the arguments, which are an object; None: any object."""
    output_schema: dict[str, Any] | None = None
    """JSON Schema of the structured result; None: there is none, or any."""
    idempotent: bool = False
    """True if a call may be made again after a crash: the world says so, never the server."""
    pure: bool = False
    """True if a result follows from code and arguments alone, so that it can be computed again and verified."""
