"""The format of a journal: its marks and bounds. `schema` has the tables of every version that was ever released.

Three rules hold for all tables:

- A *value* (a text of any length) is NULL, or TEXT when stored in place, or an INTEGER that names a row of `blobs`.
- A *list of numbers* is a value too: JSON text of its runs, each `[first, last]`, in the list's order.
- Rows are only ever added; but those of `ahead`, which says of effects what their round will say, go with its commit.
"""

from __future__ import annotations

from typing import Final

APPLICATION_ID: Final = 0x5475726E
"""SQLite's `application_id` of every journal: "Turn" in ASCII."""

FORMAT: Final = 3
"""The version that is written, SQLite's `user_version`."""

FORMAT_OLDEST: Final = 1
"""The oldest version that can be read."""

INTEGER_MAX: Final = 2**63 - 1
"""The largest number that SQLite holds."""

BLOB_BYTES_MAX: Final = 256 * 1024 * 1024
"""The longest text or file that a journal holds, uncompressed."""

COMPRESS_BYTES_MIN: Final = 512
"""Shorter contents are stored as they are: compressing them costs more time than it saves space."""

COMPRESS_LEVEL: Final = 1

STATE_INLINE_CHARS_MAX: Final = 64
"""Longest text stored in place where texts tend to come again (states, output to stdout, failures)."""

TEXT_INLINE_CHARS_MAX: Final = 200
"""Longest text stored in place where they seldom do (effects, logs, lists of numbers). Rows above a quarter of a page
would take pages of their own in these tables."""

BODY_INLINE_CHARS_MAX: Final = 500
"""Longest body of a message that is stored in place: a message that goes to many is one row already."""
