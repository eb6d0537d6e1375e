"""All kinds in one world: called by an agent, recorded, and replayed where none of them is there any more."""

from __future__ import annotations

import asyncio
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import turnwise
from tests.tools.kinds.test_http import Site
from turnwise.world import Agent, Grants, Tools, World

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="files cannot be opened relative to a folder there")

AGENT = """
def turn(t):
    names = [tool.name for tool in t.tools()]
    page = t.call("web.get", {"url": t.args["url"]})
    t.call("notes.write", {"path": "page.txt", "text": page.text})
    found, rolled, total = t.call_all([
        ("notes.search", {"text": "PEARS"}),
        ("dice.roll", {"dice": 5}),
        ("calc.total", {"prices": page.data["json"]["prices"]}),
    ])
    again = t.call("dice.roll", {"dice": 5})
    t.finish([names, found.data["matches"], rolled.data == again.data, len(rolled.data), total.data])
"""
CALC = "def total(prices: list[float]) -> float:\n    return sum(prices)\n"
DICE = """
def turn(t):
    if t.args.get("list"):
        t.finish({"tools": [{"name": "roll"}]})
    else:
        t.finish({"data": [t.random.randint(1, 6) for _ in range(t.args["args"]["dice"])]})
"""
PAGE = b'{"what": "pears", "prices": [1.5, 2.25]}'


@contextmanager
def serving() -> Iterator[Site]:
    """A site on an event loop of its own, in a thread."""
    site = Site(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + PAGE)
    begun, loop, over = threading.Event(), asyncio.new_event_loop(), asyncio.Event()

    async def serve() -> None:
        async with site.open():
            begun.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert begun.wait(60)
        yield site
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()


def test_they_are_called_and_replayed_without_them(tmp_path: Path) -> None:
    world_folder = tmp_path / "world"
    (world_folder / "notes").mkdir(parents=True)
    for name, text in (("agent.py", AGENT), ("calc.py", CALC), ("dice.py", DICE)):
        (world_folder / name).write_text(text, encoding="utf-8")
    journal = tmp_path / "w.journal"
    with serving() as site:
        url = f"http://127.0.0.1:{site.port}"
        world = World(
            "all",
            agents={
                "agent": Agent(
                    "agent.py",
                    args={"url": f"{url}/prices"},
                    start=True,
                    grants=Grants(call=["web", "notes.search", "notes.write", "dice", "calc"], finish=True),
                )
            },
            tools={
                "web": Tools("http", {"hosts": [url]}),
                "notes": Tools("files", {"folder": "notes", "write": ["."]}),
                "dice": Tools("wasm", {"path": "dice.py"}),
                "calc": Tools("python", {"path": "calc.py"}),
            },
            park_after_ms=60_000,
            folder=world_folder,
        )
        assert turnwise.check(world) == []
        with turnwise.run(world, journal=journal, workers=1) as run:
            assert run.result == [
                ["calc.total", "dice.roll", "notes.search", "notes.write", "web.get"],
                [{"path": "page.txt", "line": 1, "text": PAGE.decode()}],
                True,
                5,
                3.75,
            ]
        assert len(site.asked) == 1
    assert (world_folder / "notes" / "page.txt").read_bytes() == PAGE
    shutil.rmtree(world_folder)
    assert turnwise.replay(journal).difference is None
