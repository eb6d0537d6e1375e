"""The terminal's picture of a run, by Textual's pilot: rounds, what was said, what is live."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import turnwise
from tests.cli.journals import EVIL, evil_plan, play, write
from tests.orchestrator.worlds import lively
from turnwise.monitor.answers.recent import TALK_ROUNDS_MAX
from turnwise.monitor.reader import RunReader

pytest.importorskip("textual")

from textual.pilot import Pilot
from textual.widgets import DataTable, RichLog, Static

from turnwise.monitor.terminal.app import WatchApp

HAGGLE = Path(__file__).resolve().parents[3] / "examples" / "haggle"
SIZE = (140, 40)


def text_of(app: WatchApp, part: str) -> str:
    """What stands in a part of the screen."""
    found = app.query_one(part)
    if isinstance(found, RichLog):
        return "\n".join(line.text for line in found.lines)
    if isinstance(found, DataTable):
        return "\n".join(" ".join(str(cell) for cell in found.get_row_at(at)) for at in range(found.row_count))
    assert isinstance(found, Static)
    return str(found.content)


async def waited(pilot: Pilot[None], wanted: Callable[[], object]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(120):
        while not wanted():
            await pilot.pause(0.02)


def screen(app: WatchApp, talk: Callable[[Pilot[None]], object], size: tuple[int, int] = SIZE) -> None:
    """Show the app without a terminal, and do something with it."""

    async def shown() -> None:
        async with app.run_test(size=size) as pilot:
            done = talk(pilot)
            assert asyncio.iscoroutine(done)
            await done

    asyncio.run(shown())


def test_a_run_that_is_over_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    turnwise.run(HAGGLE, journal=path).close()
    app = WatchApp(RunReader(path))

    async def look(pilot: Pilot[None]) -> None:
        await waited(pilot, lambda: "finished" in text_of(app, "#head"))
        assert "haggle  seed 3" in text_of(app, "#head")
        rounds = text_of(app, "#rounds").splitlines()
        assert len(rounds) == app.shown_round
        assert rounds[-1].startswith(f"{app.shown_round} ")
        await waited(pilot, lambda: " → " in text_of(app, "#talk"))
        assert f"round {app.shown_round - TALK_ROUNDS_MAX} " not in text_of(app, "#talk")
        await waited(pilot, lambda: "nobody plays the run now" in text_of(app, "#facts"))
        await pilot.press("q")

    screen(app, look)


def test_rounds_appear_as_they_are_committed_and_what_is_live_beside_them(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    with turnwise.start(HAGGLE, journal=path) as live:
        live.step()
        app = WatchApp(RunReader(path))

        async def look(pilot: Pilot[None]) -> None:
            await waited(pilot, lambda: app.shown_round == 1)
            if sys.platform == "linux":
                await waited(pilot, lambda: "live round 1" in text_of(app, "#facts"))
                assert "workers" in text_of(app, "#facts")
            await live.astep()
            await waited(pilot, lambda: app.shown_round == 2)
            assert app.query_one("#rounds", DataTable).row_count == 2
            await pilot.press("f")
            await live.astep()
            await waited(pilot, lambda: app.shown_round == 3)
            assert app.query_one("#rounds", DataTable).cursor_row == 1
            await pilot.press("f")
            assert app.query_one("#rounds", DataTable).cursor_row == 2
            await pilot.press("l")
            assert not app.query_one("#live").display
            await live.aresult()
            await waited(pilot, lambda: "finished" in text_of(app, "#head"))

        screen(app, look)


def test_what_agents_wrote_is_shown_and_does_not_act(tmp_path: Path) -> None:
    path = tmp_path / "evil.journal"
    write(path, evil_plan(), play(evil_plan()))
    app = WatchApp(RunReader(path))

    async def look(pilot: Pilot[None]) -> None:
        await waited(pilot, lambda: app.shown_round > 0)
        await waited(pilot, lambda: "\\e[2J" in text_of(app, "#talk"))
        for part in ("#head", "#talk", "#rounds"):
            assert not (set(EVIL) - set("[2J\r\b1m")) & set(text_of(app, part)), part
        assert "failed" in text_of(app, "#talk")

    screen(app, look)


def test_a_journal_that_cannot_be_read_any_more_says_why(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    turnwise.run(lively(seed=3, rounds_max=2), journal=path).close()
    app = WatchApp(RunReader(path))

    def damage() -> None:
        app.reader._close()
        path.write_bytes(b"no journal at all")

    async def look(pilot: Pilot[None]) -> None:
        await waited(pilot, lambda: app.shown_round == 2)
        app.reader._thread.submit(damage).result()
        await waited(pilot, lambda: "not a journal" in text_of(app, "#head"))

    screen(app, look)


def test_an_app_that_is_closing_shows_nothing_more(tmp_path: Path) -> None:
    """Timers may ring once more when the parts of the screen are gone."""
    path = tmp_path / "a.journal"
    turnwise.run(lively(seed=3, rounds_max=2), journal=path).close()
    app = WatchApp(RunReader(path))

    async def look(pilot: Pilot[None]) -> None:
        await waited(pilot, lambda: app.shown_round == 2)
        await app.query("*").remove()
        app._watch.forget()
        await app.look()
        await app.listen()
        assert not app.query("#facts")

    screen(app, look)


def test_lines_end_where_a_narrow_terminal_does_and_the_talk_lies_below_the_rounds(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    write(path, evil_plan(), play(evil_plan()))
    for size, beside in (((80, 24), False), ((200, 50), True)):
        app = WatchApp(RunReader(path))

        async def look(pilot: Pilot[None], beside: bool = beside, app: WatchApp = app) -> None:
            await waited(pilot, lambda: "round" in text_of(app, "#talk"))
            rounds, talk = app.query_one("#rounds").region, app.query_one("#talk")
            assert (talk.region.y == rounds.y) is beside
            assert (talk.region.y >= rounds.bottom) is not beside
            assert isinstance(talk, RichLog)
            assert talk.virtual_size.width <= talk.region.width
            await pilot.press("q")

        screen(app, look, size)
