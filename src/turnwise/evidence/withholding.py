"""Takes texts out of a copy of a journal: of each, only its SHA-256 stays, which is all that the chains need.

Every column of a journal is either among `TEXTS`, or says nothing that is private by itself: numbers, names, hashes.
What is not referred to any more is removed, and the file is packed anew, so that no page keeps what was taken out.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path, PurePath
from typing import Any, Final

from turnwise.core.canonical import canonical
from turnwise.core.plan import Plan
from turnwise.core.plan_change import with_texts
from turnwise.core.plan_json import plan_from_json, plan_to_json
from turnwise.core.withheld import Withheld, as_member, from_member
from turnwise.journal.file.blobs import BlobReader
from turnwise.journal.file.connection import connect
from turnwise.journal.file.errors import translated
from turnwise.journal.file.number_runs import recorded

Hides = Callable[[str, int | None, str], bool]
"""Tells whether a text is taken out, by its column, the place of the agent that it belongs to (None: of nobody), and
the text."""

TEXTS: Final[dict[str, tuple[str, ...]]] = {
    "agents": ("args", "state"),
    "turns": ("message", "state", "stdout"),
    "effects": ("request", "reply", "tokens"),
    "logs": ("text",),
    "questions": ("request",),
}
"""Columns that hold texts of agents as values, in tables whose column `place` says whose they are."""

OTHER_TEXTS: Final = frozenset(
    {
        ("messages", "body"), ("turns", "extra"), ("records", "value"), ("ends", "result"), ("ends", "message"),
        ("meta", "value"), ("writers", "info"), ("changes", "value"),
        ("answers", "reply"), ("contents", "blob"),
    }
)  # fmt: skip
"""Columns that hold texts in other ways, each taken care of by itself."""

VALUES: Final = (
    *[(table, column) for table, columns in TEXTS.items() for column in columns],
    ("messages", "body"), ("messages", "recipients"), ("turns", "inbox"), ("turns", "extra"), ("ends", "result"),
    ("ends", "message"), ("meta", "value"), ("writers", "versions"), ("writers", "info"), ("code_files", "blob"),
    ("agents", "grants"), ("changes", "value"), ("contents", "blob"), ("waves", "requests"), ("waves", "plan"),
    ("parks", "inbox"), ("parks", "calls"), ("answers", "reply"),
)  # fmt: skip
"""Columns that may name a row of `blobs`."""

_KEYS: Final = {
    "agents": "place",
    "turns": "round, place",
    "effects": "round, place, nr",
    "logs": "round, place, nr",
    "questions": "id",
}


class Withholding:
    """Takes texts out of one journal, which nobody else uses. `texts` counts them, and `short` those of few bytes."""

    SHORT_BYTES: Final = 16

    def __init__(self, path: Path, hides: Hides) -> None:
        self.texts = 0
        self.short = 0
        self._path = path
        self._hides = hides
        self._blobs: dict[str, int] = {}
        self._connection = connect(path.resolve(), "mode=rw")
        self._reader = BlobReader(self._connection, path)
        row = self._connection.execute("SELECT max(id) FROM blobs").fetchone()
        self._next = (row[0] or 0) + 1
        self._from_outside: set[str] = set()
        self._places: dict[str, int] = {}
        self._of_kind: dict[str, list[int]] = {}

    def run(self) -> None:
        """Take out all that is to be hidden."""
        with closing(self._connection) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
                for place, name, kind in self._rows("SELECT place, name, kind FROM agents"):
                    self._places[name] = place
                    self._of_kind.setdefault(kind, []).append(place)
                connection.execute("DROP TABLE IF EXISTS snapshots")  # they rest on states that are taken out
                present = self._present()
                if "ahead" in present:
                    connection.execute("DELETE FROM ahead")  # of turns that are not committed: nobody goes on with them
                for table, columns in TEXTS.items():
                    for column in columns if table in present else ():
                        self._values(table, column)
                self._contents()
                self._messages()
                self._extras()
                self._records()
                self._ends()
                self._plan()
                self._changes()
                if "answers" in present:
                    self._answers()
                self._paths()
                self._remove_unused()
                connection.execute("COMMIT")
                connection.execute("VACUUM")
            except sqlite3.Error as error:
                raise translated(error, self._path, writing=True) from error

    # -- columns -----------------------------------------------------------------------------------------------

    def _values(self, table: str, column: str) -> None:
        keys = _KEYS[table]
        where = " AND ".join(f"{key} = ?" for key in keys.split(", "))
        told_by = "parent" if table == "agents" else "NULL"
        select = f"SELECT place, {told_by}, {column}, {keys} FROM {table} WHERE {column} IS NOT NULL"
        for place, parent, value, *key in self._rows(select):
            text = self._text(value)
            what = f"{table}.{column}"
            if self._hidden(what, place, text) or (parent is not None and self._hidden(what, parent, text)):
                self._execute(f"UPDATE {table} SET {column} = ? WHERE {where}", self._withheld(text), *key)

    def _contents(self) -> None:
        """Take out contents, each as the text that it is: what is not UTF-8 is one byte a character."""
        if not self._rows("SELECT 1 FROM sqlite_master WHERE name = 'contents'"):
            return
        for round_, place, nr, blob in self._rows("SELECT round, place, nr, blob FROM contents"):
            [(size,)] = self._rows(f"SELECT size FROM blobs WHERE id = {int(blob)}")
            content = self._reader.content(blob) if size else b""
            try:
                text = content.decode()
            except UnicodeDecodeError:
                text = content.decode("latin-1")
            if self._hidden("contents.blob", place, text):
                self.texts += 1
                number = self._add(sha256(content).digest(), 0, b"")
                key = (round_, place, nr)
                self._execute("UPDATE contents SET blob = ? WHERE round = ? AND place = ? AND nr = ?", number, *key)

    def _messages(self) -> None:
        for seq, sender, body, recipients in self._rows("SELECT seq, sender, body, recipients FROM messages"):
            text = self._text(body)
            alone = None
            if recipients is not None:
                runs = json.loads(self._text(recipients))
                if len(runs) == 1 and runs[0][0] == runs[0][1]:
                    alone = runs[0][0]
            if self._hidden("messages.body", sender, text) or (
                alone is not None and self._hidden("messages.body", alone, text)
            ):
                self._execute("UPDATE messages SET body = ? WHERE seq = ?", self._withheld(text), seq)
                if sender is None:
                    self._from_outside.add(text)

    def _extras(self) -> None:
        for round_, place, value in self._rows("SELECT round, place, extra FROM turns WHERE extra IS NOT NULL"):
            extra = json.loads(self._text(value))
            changed = dict(extra)
            if "finish" in extra:
                changed["finish"] = self._member("turns.finish", place, extra["finish"])
            if "spawn" in extra:
                changed["spawn"] = [
                    [kind, name, *[self._member("turns.spawn", place, text) for text in texts]]
                    for kind, name, *texts in extra["spawn"]
                ]
            if changed != extra:
                self._execute(
                    "UPDATE turns SET extra = ? WHERE round = ? AND place = ?",
                    self._stored(canonical(changed)),
                    round_,
                    place,
                )

    def _records(self) -> None:
        for round_, place, nr, value in self._rows("SELECT round, place, nr, value FROM records"):
            if isinstance(value, str) and self._hidden("records.value", place, value):
                self._count(value)
                key = (round_, place, nr)
                stored = recorded(Withheld(_digest(value)))
                self._execute("UPDATE records SET value = ? WHERE round = ? AND place = ? AND nr = ?", stored, *key)

    def _ends(self) -> None:
        finishers = {
            round_: place
            for round_, place, failure, extra in self._rows(
                "SELECT round, place, failure, extra FROM turns JOIN ends USING (round) ORDER BY round, place DESC"
            )
            if failure is not None or (extra is not None and "finish" in json.loads(self._text(extra)))
        }
        for id_, round_, result, message in self._rows("SELECT id, round, result, message FROM ends"):
            for column, value in (("result", result), ("message", message)):
                if value is not None:
                    text = self._text(value)
                    if self._hidden(f"ends.{column}", finishers.get(round_), text):
                        self._execute(f"UPDATE ends SET {column} = ? WHERE id = ?", self._withheld(text), id_)

    def _plan(self) -> None:
        [(value,)] = self._rows("SELECT value FROM meta WHERE name = 'plan'")
        plan = plan_from_json(self._text(value))
        changed = self._without(plan)
        if plan_to_json(changed) != plan_to_json(plan):
            self._execute("UPDATE meta SET value = ? WHERE name = 'plan'", self._stored(plan_to_json(changed)))

    def _without(self, plan: Plan) -> Plan:
        places = {agent.name: place for place, agent in enumerate(plan.agents)}
        own = {kind.name: (kind.args, kind.state) for kind in plan.kinds}

        def hide(what: str, place: int | None, text: str) -> str:
            return Withheld(self._count(text)) if self._hidden(what, place, text) else text

        kinds = {
            kind.name: replace(
                kind,
                args=self._told("plan.args", kind.name, kind.args),
                state=self._told("plan.state", kind.name, kind.state),
                system=self._told("plan.system", kind.name, kind.system),
            )
            for kind in plan.kinds
        }
        agents = []
        for place, agent in enumerate(plan.agents):
            args, state = own[agent.kind]
            kind = kinds[agent.kind]
            agents.append(
                replace(
                    agent,
                    args=kind.args if agent.args == args else hide("plan.args", place, agent.args),
                    state=kind.state if agent.state == state else hide("plan.state", place, agent.state),
                )
            )
        messages = [
            replace(message, body=hide("messages.body", places.get(message.to), message.body))
            for message in plan.messages
        ]
        return replace(plan, kinds=tuple(kinds.values()), agents=tuple(agents), messages=tuple(messages))

    def _changes(self) -> None:
        """A message that a fork was to be sent goes with the message that came of it, if it has come."""
        if not self._rows("SELECT 1 FROM sqlite_master WHERE name = 'changes'"):
            return
        [(last,)] = self._rows("SELECT max(round) FROM rounds")
        select = "SELECT round, nr, what, target, value FROM changes WHERE value IS NOT NULL"
        for round_, nr, what, target, value in self._rows(select):
            text = self._text(value)
            stored: int | None = None
            if what == "plan":
                changed = with_texts(text, lambda kind, name, told: as_member(self._told(f"plan.{name}", kind, told)))
                stored = self._stored(changed) if changed != text else None
            elif what == "answer":
                stored = self._coming_answer(target, json.loads(text))
            elif what in ("state", "args"):
                stored = self._withheld(text) if self._hidden(f"changes.{what}", target, text) else None
            else:
                came = round_ <= (last or 0)
                column = "messages.body" if came else "changes.message"
                if (came and text in self._from_outside) or self._hidden(column, self._places.get(target), text):
                    stored = self._withheld(text)
            if stored is not None:
                self._execute("UPDATE changes SET value = ? WHERE round = ? AND nr = ?", stored, round_, nr)

    def _answers(self) -> None:
        """Answers are told to the agents that asked."""
        for round_, nr, question, reply in self._rows("SELECT round, nr, question, reply FROM answers"):
            text = self._text(reply)
            if self._hidden("answers.reply", self._asker(question), text):
                self._execute(
                    "UPDATE answers SET reply = ? WHERE round = ? AND nr = ?", self._withheld(text), round_, nr
                )

    def _coming_answer(self, question: int, given: dict[str, Any]) -> int | None:
        """An answer that a fork was to be given; of the parent's question, which may not be in this file."""
        text = from_member(given["reply"])
        if text is None or not self._hidden("answers.reply", self._asker(question), text):
            return None
        return self._stored(canonical(given | {"reply": as_member(Withheld(self._count(text)))}))

    def _asker(self, question: int) -> int | None:
        place = self._connection.execute("SELECT place FROM questions WHERE id = ?", (question,)).fetchone()
        return None if place is None else int(place[0])

    def _told(self, what: str, kind: str, text: str) -> str:
        """Return a text that the agents of a kind are told, taken out if it is to be hidden of each of them."""
        places = self._of_kind.get(kind, [])
        if self._hidden(what, None, text) or (places and all(self._hidden(what, place, text) for place in places)):
            return Withheld(self._count(text))
        return text

    def _paths(self) -> None:
        """Keep of the paths of models their last part: they say how somebody's machine is laid out."""
        for id_, value in self._rows("SELECT id, info FROM writers"):
            info = json.loads(self._text(value))
            models = info.get("models", {})
            for model in models.values():
                model["path"] = PurePath(model["path"]).name
            endpoints = info.get("endpoints", {})
            for endpoint in endpoints.values():
                endpoint["url"] = ""
            if models or endpoints:
                self._execute("UPDATE writers SET info = ? WHERE id = ?", self._stored(canonical(info)), id_)

    # -- texts -------------------------------------------------------------------------------------------------

    def _hidden(self, what: str, place: int | None, text: str) -> bool:
        return bool(text) and type(text) is not Withheld and self._hides(what, place, text)

    def _member(self, what: str, place: int, value: object) -> object:
        text = None if value is None else from_member(value)
        if text is None or not self._hidden(what, place, text):
            return value
        return as_member(Withheld(self._count(text)))

    def _text(self, value: Any) -> str:
        return self._reader.text(value) if isinstance(value, int) else str(value)

    def _count(self, text: str) -> str:
        """Count a text that is taken out, and return its digest."""
        self.texts += 1
        self.short += len(text.encode()) < self.SHORT_BYTES
        return _digest(text)

    def _withheld(self, text: str) -> int:
        """The number of a blob that holds the digest of a text alone."""
        digest = self._count(text)
        if digest not in self._blobs:
            self._blobs[digest] = self._add(bytes.fromhex(digest), 0, b"")
        return self._blobs[digest]

    def _stored(self, text: str) -> int:
        content = text.encode()
        return self._add(sha256(content).digest(), len(content), content)

    def _add(self, digest: bytes, size: int, data: bytes) -> int:
        number, self._next = self._next, self._next + 1
        self._execute("INSERT INTO blobs VALUES (?, ?, ?, ?)", number, digest, size, data)
        return number

    def _remove_unused(self) -> None:
        present = self._present()
        used = " UNION ".join(
            f"SELECT {column} FROM {table} WHERE typeof({column}) = 'integer'"
            for table, column in VALUES
            if table in present
        )
        self._execute(f"DELETE FROM blobs WHERE id NOT IN ({used})")

    def _present(self) -> set[str]:
        """Tables that the journal has: one of an older format lacks some."""
        return {name for (name,) in self._rows("SELECT name FROM sqlite_master WHERE type = 'table'")}

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql).fetchall()

    def _execute(self, sql: str, *parameters: object) -> None:
        self._connection.execute(sql, parameters)


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()
