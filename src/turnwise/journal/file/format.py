"""The format of a journal: its marks, bounds and tables, for every version that was ever released.

Whoever changes the tables adds a version here and keeps the old one readable; `docs/journal.md` explains every column
to people who query a journal with SQL. Three rules hold for all tables:

- A *value* (a text of any length) is NULL, or TEXT when stored in place, or an INTEGER that names a row of `blobs`.
- A *list of numbers* is a value too: JSON text of its runs, each `[first, last]`, in the list's order.
- Rows are only ever added.
"""

from __future__ import annotations

from typing import Final

APPLICATION_ID: Final = 0x5475726E
"""SQLite's `application_id` of every journal: "Turn" in ASCII."""

FORMAT: Final = 2
"""The version that is written, SQLite's `user_version`."""

FORMAT_OLDEST: Final = 1
"""The oldest version that can be read."""

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


def _shown(column: str) -> str:
    """SQL for a value as text. `sqlar_uncompress` is part of the `sqlite3` program."""
    stored = f"SELECT CAST(sqlar_uncompress(data, size) AS TEXT) FROM blobs WHERE blobs.id = {column}"
    return f"CASE typeof({column}) WHEN 'integer' THEN ({stored}) ELSE {column} END"


_TABLES_1: Final[dict[str, str]] = {
    "meta": """CREATE TABLE meta (
  name TEXT NOT NULL PRIMARY KEY,
  value
) WITHOUT ROWID""",
    "writers": """CREATE TABLE writers (
  id INTEGER PRIMARY KEY,
  round INTEGER NOT NULL,
  versions,
  info
)""",
    "codes": """CREATE TABLE codes (
  code TEXT NOT NULL PRIMARY KEY,
  carrier TEXT NOT NULL,
  entry TEXT NOT NULL,
  interpreter TEXT
) WITHOUT ROWID""",
    "code_files": """CREATE TABLE code_files (
  code TEXT NOT NULL,
  nr INTEGER NOT NULL,
  name TEXT NOT NULL,
  blob INTEGER NOT NULL,
  PRIMARY KEY (code, nr)
) WITHOUT ROWID""",
    "agents": """CREATE TABLE agents (
  place INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  kind TEXT NOT NULL,
  args,
  state,
  born INTEGER NOT NULL,
  parent INTEGER,
  grants
)""",
    "rounds": """CREATE TABLE rounds (
  round INTEGER PRIMARY KEY,
  head BLOB NOT NULL,
  execution BLOB NOT NULL,
  message_first INTEGER,
  turns INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  effects INTEGER NOT NULL,
  logs INTEGER NOT NULL,
  records INTEGER NOT NULL,
  inputs INTEGER NOT NULL,
  messages INTEGER NOT NULL,
  spawned INTEGER NOT NULL,
  agents INTEGER NOT NULL,
  stopped INTEGER NOT NULL,
  fuel INTEGER NOT NULL
)""",
    "turns": """CREATE TABLE turns (
  round INTEGER NOT NULL,
  place INTEGER NOT NULL,
  turn INTEGER NOT NULL,
  inbox,
  failure TEXT,
  message,
  state,
  wake_in INTEGER,
  extra,
  stdout,
  fuel INTEGER NOT NULL,
  executions INTEGER NOT NULL,
  PRIMARY KEY (round, place)
) WITHOUT ROWID""",
    "effects": """CREATE TABLE effects (
  round INTEGER NOT NULL,
  place INTEGER NOT NULL,
  nr INTEGER NOT NULL,
  kind TEXT NOT NULL,
  model TEXT,
  request,
  reply,
  PRIMARY KEY (round, place, nr)
) WITHOUT ROWID""",
    "messages": """CREATE TABLE messages (
  seq INTEGER PRIMARY KEY,
  round INTEGER NOT NULL,
  sender INTEGER,
  receiver TEXT NOT NULL,
  body,
  recipients
)""",
    "logs": """CREATE TABLE logs (
  round INTEGER NOT NULL,
  place INTEGER NOT NULL,
  nr INTEGER NOT NULL,
  level TEXT NOT NULL,
  text,
  PRIMARY KEY (round, place, nr)
) WITHOUT ROWID""",
    "records": """CREATE TABLE records (
  round INTEGER NOT NULL,
  place INTEGER NOT NULL,
  nr INTEGER NOT NULL,
  name TEXT NOT NULL,
  value NOT NULL,
  PRIMARY KEY (round, place, nr)
) WITHOUT ROWID""",
    "stops": """CREATE TABLE stops (
  round INTEGER NOT NULL,
  nr INTEGER NOT NULL,
  place INTEGER NOT NULL,
  PRIMARY KEY (round, nr)
) WITHOUT ROWID""",
    "ends": """CREATE TABLE ends (
  id INTEGER PRIMARY KEY,
  round INTEGER NOT NULL,
  reason TEXT NOT NULL,
  result,
  message
)""",
    "blobs": """CREATE TABLE blobs (
  id INTEGER PRIMARY KEY,
  hash BLOB NOT NULL,
  size INTEGER NOT NULL,
  data BLOB NOT NULL
)""",
}
"""The tables of format 1, by name. The texts are compared with a file's own when it is opened."""

_TABLES_2: Final[dict[str, str]] = {
    "waves": """CREATE TABLE waves (
  round INTEGER NOT NULL,
  nr INTEGER NOT NULL,
  wave INTEGER NOT NULL,
  model TEXT NOT NULL,
  requests,
  plan,
  PRIMARY KEY (round, nr)
) WITHOUT ROWID""",
}
"""What format 2 has beside these: batch plans."""

_WAVES_COLUMN: Final = "waves INTEGER NOT NULL DEFAULT 0"

TABLES: Final[dict[str, str]] = (
    _TABLES_1 | {"rounds": f"{_TABLES_1['rounds'].removesuffix(')')}, {_WAVES_COLUMN})"} | _TABLES_2
)
"""The tables of the format that is written."""

_VIEWS_1: Final[dict[str, str]] = {
    "show_turns": f"""CREATE VIEW show_turns AS
SELECT round, place, agents.name AS agent, turn, {_shown("inbox")} AS inbox, failure, {_shown("message")} AS message,
  {_shown("turns.state")} AS state, wake_in, {_shown("extra")} AS extra, {_shown("stdout")} AS stdout, fuel, executions
FROM turns JOIN agents USING (place)""",
    "show_messages": f"""CREATE VIEW show_messages AS
SELECT seq, round, sender, coalesce(agents.name, 'outside') AS sender_name, receiver, {_shown("body")} AS body,
  {_shown("recipients")} AS recipients
FROM messages LEFT JOIN agents ON agents.place = messages.sender""",
    "show_effects": f"""CREATE VIEW show_effects AS
SELECT round, place, agents.name AS agent, nr, effects.kind AS kind, model, {_shown("request")} AS request,
  {_shown("reply")} AS reply
FROM effects JOIN agents USING (place)""",
    "show_logs": f"""CREATE VIEW show_logs AS
SELECT round, place, agents.name AS agent, nr, level, {_shown("text")} AS text
FROM logs JOIN agents USING (place)""",
    "show_records": """CREATE VIEW show_records AS
SELECT round, place, agents.name AS agent, nr, records.name AS name, value
FROM records JOIN agents USING (place)""",
}

_VIEWS_2: Final[dict[str, str]] = {
    "show_waves": f"""CREATE VIEW show_waves AS
SELECT round, nr, wave, model, {_shown("requests")} AS requests, {_shown("plan")} AS plan
FROM waves""",
}

VIEWS: Final = _VIEWS_1 | _VIEWS_2
"""Views for people; Turnwise itself never reads them."""

SCHEMA: Final[dict[int, dict[str, str]]] = {1: _TABLES_1 | _VIEWS_1, 2: TABLES | VIEWS}
"""What a file of each version contains, exactly: nothing else may be there, since a trigger or an index of a stranger
could change what a query returns."""

UPGRADES: Final[dict[int, tuple[str, ...]]] = {
    2: (f"ALTER TABLE rounds ADD COLUMN {_WAVES_COLUMN}", *_TABLES_2.values(), *_VIEWS_2.values())
}
"""What makes a file of the version before into one of this version. No row changes."""
