"""The header of a journal: the plan, who wrote it, and what its agents execute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from turnwise.core.head import RULE
from turnwise.core.plan import Plan
from turnwise.core.plan_change import changed_plan
from turnwise.core.plan_json import plan_from_json
from turnwise.journal.file.box_position import BoxPosition
from turnwise.journal.file.code_source import CodeSource
from turnwise.journal.file.errors import damaged
from turnwise.journal.read.query import Query
from turnwise.journal.read.rows import WriterRow


class HeaderReader:
    """Reads what does not grow with the rounds of a run."""

    def __init__(self, query: Query) -> None:
        self._query = query

    def meta(self, name: str) -> str:
        """A text of the table `meta`."""
        row = self._query.row("SELECT value FROM meta WHERE name = ?", name)
        if row is None:
            raise damaged(self._query.path, f"its {name} is missing")
        return self._query.decoder.value(row[0], name)

    @property
    def plan(self) -> str:
        """The world's plan, canonical JSON text."""
        return self.meta("plan")

    def plans(self) -> list[tuple[int, Plan]]:
        """The plan that the run began by, and each that it was changed to, with the first round of each."""
        found = [(1, plan_from_json(self.plan))]
        if self._query.row("SELECT 1 FROM sqlite_master WHERE name = 'changes'") is None:
            return found
        for round_, value in self._query.rows(
            "SELECT round, value FROM changes WHERE what = 'plan' ORDER BY round, nr"
        ):
            text = self._query.decoder.value(value, "a change of the plan")
            found.append((self._query.decoder.integer(round_, "a round"), changed_plan(found[-1][1], text)))
        return found

    def plan_at(self, round_: int | None = None) -> Plan:
        """The plan of a round (default: of the next one that is played)."""
        return [plan for first, plan in self.plans() if round_ is None or first <= max(round_, 1)][-1]

    @property
    def info(self) -> str:
        """JSON text of where the latest writer found things (paths, providers). No head covers it."""
        return self.writers()[-1].info

    @property
    def versions(self) -> str:
        """Versions of everything as the run began with, JSON text; the execution chain begins with it."""
        return self.writers()[0].versions

    @property
    def rule(self) -> int:
        """The rule by which the run's chains are made (`turnwise.core.head`); 1 where none is noted."""
        row = self._query.row("SELECT value FROM meta WHERE name = 'chains'")
        if row is None:
            return 1
        if row[0] != str(RULE):
            raise damaged(self._query.path, "the rule of its chains is unknown", expected=RULE, actual=row[0])
        return RULE

    def continued_versions(self, before: int, writers: Sequence[WriterRow] | None = None) -> str | None:
        """The versions that the execution digest of round `before` is continued by in the round after it.

        None if the versions that execute the next round are those that executed `before`. `writers` are all that
        were noted so far (default: all).
        """
        found = self.writers() if writers is None else writers
        later = [number for number, writer in enumerate(found) if number and writer.round == before]
        if not later:
            return None
        versions = found[later[-1]].versions
        if self.rule == 1:  # which compared with the writer before, even if that one had executed nothing
            executed = found[later[-1] - 1]
        else:
            executed = next((writer for writer in reversed(found) if writer.round < before), found[0])
        return None if versions == executed.versions else versions

    def writers(self) -> list[WriterRow]:
        """Processes that wrote: the run itself first, then each resume."""
        decoder = self._query.decoder
        rows = self._query.rows("SELECT round, versions, info FROM writers ORDER BY id")
        if not rows:
            raise damaged(self._query.path, "nobody wrote it")
        return [
            WriterRow(
                decoder.integer(row[0], "round of a writer"),
                decoder.value(row[1], "versions of a writer"),
                decoder.value(row[2], "info of a writer"),
            )
            for row in rows
        ]

    @property
    def received(self) -> BoxPosition | None:
        """Place up to which rounds of this run have read what is sent to it; None if they have read nothing."""
        if self._query.row("SELECT 1 FROM main.sqlite_master WHERE name = 'received'") is None:
            return None
        row = self._query.row("SELECT box, position FROM main.received ORDER BY round DESC LIMIT 1")
        if row is None:
            return None
        decoder = self._query.decoder
        return BoxPosition(decoder.text(row[0], "name of a box"), decoder.integer(row[1], "position in a box"))

    @property
    def codes(self) -> Mapping[str, CodeSource]:
        """Sources of agents, by the code hash of the plan."""
        decoder = self._query.decoder
        codes: dict[str, CodeSource] = {}
        for code, carrier, entry, interpreter in self._query.rows(
            "SELECT code, carrier, entry, interpreter FROM codes"
        ):
            files = []
            for name, blob in self._query.rows("SELECT name, blob FROM code_files WHERE code = ? ORDER BY nr", code):
                number = decoder.integer(blob, f"blob of a file of code {code}")
                files.append((decoder.text(name, f"name of a file of code {code}"), decoder.blobs.content(number)))
            codes[decoder.text(code, "hash of a code")] = CodeSource(
                decoder.text(carrier, f"carrier of code {code}"),
                decoder.text(entry, f"entry of code {code}"),
                tuple(files),
                None if interpreter is None else decoder.text(interpreter, f"interpreter of code {code}"),
            )
        return codes
