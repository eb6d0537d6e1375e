"""A run in a terminal: its rounds, what was said last, and what is live."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, ClassVar, Final

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.css.query import NoMatches
from textual.widgets import DataTable, Footer, RichLog, Static

from turnwise.errors import TurnwiseError
from turnwise.monitor.answers.recent import ROUNDS_MAX, recent
from turnwise.monitor.answers.summary import summary
from turnwise.monitor.live import PlaceNames, told
from turnwise.monitor.reader import RunReader
from turnwise.monitor.shown import FileWatch
from turnwise.monitor.terminal.lines import facts_lines, some, talk_lines, text_lines
from turnwise.observing.live_feed import LiveFeed
from turnwise.visible_text import visible

LOOK_SECONDS: Final = 0.25
"""Time between two looks at the journal."""
LIVE_SECONDS: Final = 0.1
"""Time between two looks at the telemetry."""
LINES_MAX: Final = 2_000
"""Lines of what was said that can be scrolled back to."""
STATUS: Final = {
    "open": "under way, or interrupted",
    "quiet": "ended: nobody had anything to do",
    "rounds_max": "ended at its bound of rounds",
}
SIDE_BY_SIDE_COLUMNS: Final = 110
"""Columns of a terminal from which on what was said lies beside the rounds, and not below them."""
TALK_COLUMNS_MIN: Final = 20
"""Columns at which lines are broken where there are even fewer."""
COLUMNS: Final = ("round", "moved", "failed", "effects", "messages", "ms", "who")


class WatchApp(App[None]):
    """Shows one run, and follows it while it is played. Reads alone."""

    TITLE = "turnwise watch"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #head { height: 1; padding: 0 1; background: $panel; }
    #rounds { width: 45%; min-width: 40; border-right: solid $panel; }
    #talk { padding: 0 1; }
    #live { height: auto; max-height: 40%; border-top: dashed $accent; padding: 0 1; }
    #facts, #texts { height: auto; }
    .-narrow Horizontal { layout: vertical; }
    .-narrow #rounds { width: 100%; height: 36%; border-right: none; border-bottom: solid $panel; }
    #problem { color: $error; padding: 1; height: auto; }
    """
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (SIDE_BY_SIDE_COLUMNS, "-wide")]  # noqa: RUF012 - as the base class has it
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("f", "follow", "Follow or stay"),
        Binding("l", "live", "Live texts"),
        Binding("tab", "focus_next", "Other part"),
    ]

    def __init__(self, reader: RunReader) -> None:
        super().__init__()
        self.reader = reader
        self.shown_round = 0
        self.follows = True
        self._feed = LiveFeed(reader.path)
        self._names = PlaceNames()
        self._watch = FileWatch(reader.path)
        self._world = ""
        self._looking = self._listening = False
        self._status = "open"

    def compose(self) -> ComposeResult:
        """Lay the parts out."""
        yield Static(id="head")
        with Horizontal():
            yield DataTable(id="rounds", cursor_type="row", zebra_stripes=True)
            with Vertical():
                yield RichLog(id="talk", wrap=True, markup=False, max_lines=LINES_MAX, min_width=TALK_COLUMNS_MIN)
                with VerticalScroll(id="live"):
                    yield Static(id="facts")
                    yield Static(id="texts")
        yield Footer()

    async def on_mount(self) -> None:
        """Begin to look."""
        self.query_one("#rounds", DataTable).add_columns(*COLUMNS)
        await self.look()
        self.set_interval(LOOK_SECONDS, self.look)
        self.set_interval(LIVE_SECONDS, self.listen)

    def on_unmount(self) -> None:
        """Give up what was opened."""
        self._feed.close()
        self.reader.close()

    async def look(self) -> None:
        """Show what the journal has, if it was written since; nothing once the app closes and its parts are gone."""
        with suppress(NoMatches):
            await self._look()

    async def _look(self) -> None:
        if self._looking or not self._watch.due():
            return
        self._looking = True
        try:
            if not self._world:
                facts = await self.reader.ask(summary)
                self._world = f"{visible(facts['world'])}  seed {facts['seed']}"
            after = self.shown_round
            found = await self.reader.ask(lambda journal: recent(journal, after))
        except TurnwiseError as error:
            self._watch.forget()
            self.query_one("#head", Static).update(Text(visible(error.message), "red"))
            return
        finally:
            self._looking = False
        self._show(found)

    def _show(self, found: dict[str, Any]) -> None:
        self._status = found["status"]
        status = STATUS.get(found["status"], found["status"].replace("_", " "))
        colour = "red" if found["status"] == "failed" else "cyan" if found["status"] == "open" else "green"
        self.query_one("#head", Static).update(
            Text.assemble(
                (f"{self._world}  ", "bold"),
                (status, colour),
                f"  round {found['last_round']:,}  {found['agents']:,} agents  ",
                (found["head"][:12], "dim"),
            )
        )
        rounds, talk = self.query_one("#rounds", DataTable), self.query_one("#talk", RichLog)
        if found["skipped"]:
            talk.write(Text(f"… {found['skipped']:,} rounds went by unseen: turnwise log has them", "yellow"))
        for row in found["rounds"]:
            failed = Text(str(row["failed"] or ""), "red")
            took = "" if row["duration_us"] is None else f"{row['duration_us'] / 1_000:,.0f}"
            who = Text(some(row["moved"], row["turns"]) if row["moved"] else "")
            numbers = (f"{row['turns']:,}", failed, f"{row['effects']:,}", f"{row['messages']:,}", took)
            rounds.add_row(f"{row['round']:,}", *numbers, who, key=str(row["round"]))
        while rounds.row_count > ROUNDS_MAX:
            rounds.remove_row(next(iter(rounds.rows)))
        for line in talk_lines(found["talk"]):
            talk.write(line, scroll_end=self.follows)
        self.shown_round = found["last_round"]
        if self.follows and rounds.row_count:
            rounds.move_cursor(row=rounds.row_count - 1)

    async def listen(self) -> None:
        """Show what is live; nothing once the app is closing, and its parts are gone."""
        with suppress(NoMatches):
            await self._listen()

    async def _listen(self) -> None:
        if self._listening:
            return
        self._listening = True
        try:
            sample = self._feed.look()
            if sample is not None and self._names.lacks(sample):
                self._names.take(await self.reader.ask(lambda journal: journal.grid.names()))
        except TurnwiseError:
            return  # the look at the journal says what is wrong with it
        finally:
            self._listening = False
        facts, texts = self.query_one("#facts", Static), self.query_one("#texts", Static)
        if sample is None:
            facts.update(Text(f"nothing live: {self._feed.why}", "dim"))
            texts.update("")
            return
        said = told(sample, self._names)
        facts.update(Text("\n").join(facts_lines(said)))
        texts.update(Text("\n").join(text_lines(said)))

    def action_follow(self) -> None:
        """Stay where one is, or go on with the newest."""
        self.follows = not self.follows
        rounds = self.query_one("#rounds", DataTable)
        if self.follows and rounds.row_count:
            rounds.move_cursor(row=rounds.row_count - 1)
            self.query_one("#talk", RichLog).scroll_end(animate=False)
        self.notify("Follows the newest round." if self.follows else "Stays. f follows again.", timeout=2)

    def action_live(self) -> None:
        """Show or hide what is live."""
        live = self.query_one("#live")
        live.display = not live.display
