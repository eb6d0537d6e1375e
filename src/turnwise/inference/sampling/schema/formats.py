"""Formats of JSON Schema that llguidance takes for wider than they are, as regular expressions.

Dates are those of the calendar, from the year 1 on, as `datetime` reads them; there are no leap seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_YEAR: Final = "(?:[0-9]{3}[1-9]|[0-9]{2}[1-9][0-9]|[0-9][1-9][0-9]{2}|[1-9][0-9]{3})"
_BY_FOUR: Final = "(?:0[48]|[2468][048]|[13579][26])"
_DATE: Final = (
    f"(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    f"|02-(?:0[1-9]|1[0-9]|2[0-8]))|(?:[0-9]{{2}}{_BY_FOUR}|{_BY_FOUR}00)-02-29)"
)
_CLOCK: Final = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_TIME: Final = f"{_CLOCK}:[0-5][0-9](?:\\.[0-9]{{1,9}})?(?:[Zz]|[+-]{_CLOCK})"

PATTERNS: Final[Mapping[str, str]] = {
    "date": f"^{_DATE}$",
    "time": f"^{_TIME}$",
    "date-time": f"^{_DATE}[Tt]{_TIME}$",
}


def with_pattern(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema with its format, if it is one of these, as a pattern."""
    name = schema.get("format")
    pattern = PATTERNS.get(name) if isinstance(name, str) else None
    if pattern is None:
        return schema
    rest = {key: value for key, value in schema.items() if key != "format"}
    if "pattern" not in rest:
        return {**rest, "pattern": pattern}
    all_of = rest.get("allOf")
    return {**rest, "allOf": [*(all_of if isinstance(all_of, list) else []), {"pattern": pattern}]}
