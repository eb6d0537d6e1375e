"""`strftime_now` of chat templates, by the run's virtual date.

`strftime` of C and Python depends on the locale and the platform; a prompt must not. So the directives that dates are
written with are spelled out here, in English.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from turnwise.inference.text.template.meter import TemplateRefused

FORMAT_CHARS_MAX: Final = 256

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_DIRECTIVES: Final[Mapping[str, Callable[[datetime], str]]] = {
    "%": lambda _: "%",
    "A": lambda at: _DAYS[at.weekday()],
    "B": lambda at: _MONTHS[at.month - 1],
    "D": lambda at: f"{at.month:02}/{at.day:02}/{at.year % 100:02}",
    "F": lambda at: f"{at.year:04}-{at.month:02}-{at.day:02}",
    "H": lambda at: f"{at.hour:02}",
    "I": lambda at: f"{(at.hour - 1) % 12 + 1:02}",
    "M": lambda at: f"{at.minute:02}",
    "R": lambda at: f"{at.hour:02}:{at.minute:02}",
    "S": lambda at: f"{at.second:02}",
    "T": lambda at: f"{at.hour:02}:{at.minute:02}:{at.second:02}",
    "Y": lambda at: f"{at.year:04}",
    "Z": lambda _: "UTC",
    "a": lambda at: _DAYS[at.weekday()][:3],
    "b": lambda at: _MONTHS[at.month - 1][:3],
    "d": lambda at: f"{at.day:02}",
    "e": lambda at: f"{at.day:2}",
    "f": lambda at: f"{at.microsecond:06}",
    "h": lambda at: _MONTHS[at.month - 1][:3],
    "j": lambda at: f"{at.timetuple().tm_yday:03}",
    "m": lambda at: f"{at.month:02}",
    "p": lambda at: "AM" if at.hour < 12 else "PM",
    "u": lambda at: str(at.isoweekday()),
    "w": lambda at: str(at.isoweekday() % 7),
    "y": lambda at: f"{at.year % 100:02}",
    "z": lambda _: "+0000",
}


def strftime(now_us: int, format_: object) -> str:
    """Return the virtual date (microseconds since 1970, UTC) as `format_` says. Raises TemplateRefused."""
    if not isinstance(format_, str) or len(format_) > FORMAT_CHARS_MAX:
        raise TemplateRefused(f"strftime_now takes a format of at most {FORMAT_CHARS_MAX} characters")
    try:
        at = _EPOCH + timedelta(microseconds=now_us)
    except OverflowError as error:
        raise TemplateRefused("the date is beyond the year 9999") from error

    def directive(match: re.Match[str]) -> str:
        found = _DIRECTIVES.get(match["name"])
        if found is None:
            raise TemplateRefused(f"strftime_now does not know {match.group()!r}")
        text = found(at)
        return (text.lstrip("0 ") or "0") if match["bare"] else text

    return re.sub(r"%(?P<bare>-?)(?P<name>.?)", directive, format_, flags=re.DOTALL)
