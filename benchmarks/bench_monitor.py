"""A run beside its monitor, and how fast the monitor is: seconds and frames, each beside its target.

`run`: the same run alone, without telemetry, and with a monitor whose page listens, alternately; the interval of the
ratio holds 95 of 100 samples drawn again from the pairs. `flood`: the same run alone, and with a monitor that tells
10,000 events a second to pages that listen; fewer, or another head, end the benchmark. `list`: 1,000 journals, listed
for the first time. `paint` and `frames` need the browsers that the tests of pages need (tests/long/browsers.py): the
first paint of a run of 100,000 turns in Chromium, and frames a second in Chromium, Firefox and Servo while a timeline
of 10,000 agents and 10,000 rounds is zoomed and moved. A JSON line each, then a table.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from proof.figure import Figure, alternately, medians, ratios, table, timed
from proof.played import NO_OP, chatters

import turnwise
from turnwise import Agent, World

RESAMPLES = 10_000
WAKES = (367, 373, 379, 383, 389, 397, 401, 409, 419, 421, 431, 433, 439, 443, 449, 457, 461, 463, 467, 479)
"""Rounds between the turns of each of so many kinds: numbers without a common factor, so that every round has some."""
SECONDS_MAX = 120.0
SERVO_HOST = "machine.test"
"""Name of this machine by which Servo asks, which refuses addresses."""
EVENTS_EACH = 8
"""Events a second that each of the pages is told at least, of a sample each 100 ms."""
OPENED_MAX = 5
"""Times that a page is opened until it has drawn."""


class Monitor:
    """The monitor as a process of its own, as a person starts it, or as it is beside a run; and one who asks it."""

    def __init__(self, place: Path, *, beside: bool = False) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "turnwise", "monitor", str(place), "--host-name", SERVO_HOST]
            + ["--beside"] * beside,
            stdin=subprocess.PIPE if beside else None,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()
        parts = urlsplit(self.address)
        self.port = int(parts.port or 0)
        self.token = parts.query.partition("=")[2]
        self.root = f"http://127.0.0.1:{self.port}/"
        self._streams: list[http.client.HTTPConnection] = []

    def get(self, path: str) -> http.client.HTTPResponse:
        """Ask, with the token."""
        asked = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS_MAX)
        asked.request("GET", path, headers={"Cookie": f"turnwise-monitor-{self.port}={self.token}"})
        self._streams.append(asked)
        return asked.getresponse()

    def listen(self, path: str) -> None:
        """Read a stream to its end, on a thread."""

        def read() -> None:
            try:
                answer = self.get(path)
                while answer.readline():
                    pass
            except (OSError, http.client.HTTPException):
                return  # the monitor has ended

        threading.Thread(target=read, daemon=True).start()

    def close(self) -> None:
        """End it."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.terminate()
        self._process.wait()
        for stream in self._streams:
            stream.close()


@contextmanager
def monitor(place: Path, *, beside: bool = False) -> Iterator[Monitor]:
    """Have a monitor for a while."""
    found = Monitor(place, beside=beside)
    try:
        yield found
    finally:
        found.close()


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Bounds within which the median of 95 of 100 samples lies that are drawn again from these."""
    chance = random.Random(0)
    found = sorted(statistics.median(chance.choices(values, k=len(values))) for _ in range(RESAMPLES))
    return found[round(RESAMPLES * 0.025)], found[round(RESAMPLES * 0.975) - 1]


def beside_a_run(agents: int, rounds: int, times: int) -> list[Figure]:
    """Play a run alone and watched; all come to the same head."""
    world = chatters(agents, rounds)
    with tempfile.TemporaryDirectory() as folder:
        number = iter(range(10**6))

        def play(*, telemetry: bool = True) -> str:
            path = Path(folder) / f"{next(number)}.journal"
            with turnwise.start(world, journal=path, telemetry=telemetry) as live, live.result() as run:
                return run.head

        def watched() -> str:
            path = Path(folder) / f"{next(number)}.journal"
            with turnwise.start(world, journal=path) as live:
                live.step()
                server.listen(f"/api/events?run={path.name}")
                server.listen(f"/api/live?run={path.name}")
                with live.result() as run:
                    return run.head

        play()
        with monitor(Path(folder)) as server:
            sides: dict[str, Callable[[], str]] = {
                "alone": play,
                "without telemetry": lambda: play(telemetry=False),
                "watched": watched,
            }
            taken = alternately(sides, times)
    figures = []
    for name, one, other in (
        ("a run that is watched / alone", "watched", "alone"),
        ("telemetry / none", "alone", "without telemetry"),
    ):
        found = ratios(taken[one], taken[other])
        low, high = interval(found)
        figures.append(Figure(f"{name} (95 %: {low:.4f} to {high:.4f})", found, "", 1.01, False, medians(taken)))
    return figures


class Flood:
    """Pages that listen to a monitor, in a process of their own, and how much they were told."""

    def __init__(self, server: Monitor, run: str, streams: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("flood.py"), server.address, run, str(streams)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            raise SystemExit("no page was told anything")

    def close(self) -> float:
        """End it, and return the events of a second."""
        out, _ = self._process.communicate("")
        found = json.loads(out)
        return float(found["events"]) / float(found["seconds"])


def flooded(agents: int, rounds: int, times: int, streams: int) -> list[Figure]:
    """Play a run alone, and with a monitor beside it that tells EVENTS_EACH a second to each of many pages."""
    world = chatters(agents, rounds)
    told: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        number = iter(range(10**6))

        def alone() -> str:
            path = Path(folder) / f"{next(number)}.journal"
            with turnwise.start(world, journal=path) as live:
                live.step()
                begun.append(time.monotonic())
                with live.result() as run:
                    ended.append(time.monotonic())
                    return run.head

        def watched() -> str:
            path = Path(folder) / f"{next(number)}.journal"
            with turnwise.start(world, journal=path) as live:
                live.step()
                with monitor(Path(folder), beside=True) as server:
                    flood = Flood(server, path.name, streams)
                    begun.append(time.monotonic())
                    with live.result() as run:
                        ended.append(time.monotonic())
                        told.append(flood.close())
                        return run.head

        begun: list[float] = []
        ended: list[float] = []
        alone()
        begun.clear()
        ended.clear()
        taken: dict[str, list[float]] = {"alone": [], "flooded": []}
        heads = set()
        for _ in range(times):
            for name, play in (("alone", alone), ("flooded", watched)):
                heads.add(play())
                taken[name].append(ended[-1] - begun[-1])
    if len(heads) != 1:
        raise SystemExit("the run is another one where its monitor is flooded")
    wanted = enough(told, streams)
    found = ratios(tuple(taken["flooded"]), tuple(taken["alone"]))
    low, high = interval(found)
    what = f"a run whose monitor is flooded / alone (95 %: {low:.4f} to {high:.4f})"
    sides = {name: statistics.median(values) for name, values in taken.items()}
    return [
        Figure(what, found, "", 1.01, False, sides),
        Figure("events a second that pages were told", tuple(told), "", wanted, True, {}),
    ]


def enough(told: Sequence[float], streams: int) -> float:
    """Events a second that are asked for; ends the benchmark if pages were told fewer."""
    wanted = streams * EVENTS_EACH
    if min(told) < wanted:
        raise SystemExit(f"{min(told):,.0f} events a second were told, and not {wanted:,}")
    return float(wanted)


def listing(journals: int, times: int) -> Figure:
    """List journals that were not listed before."""
    taken = []
    with tempfile.TemporaryDirectory() as folder:
        first = Path(folder) / "0.journal"
        turnwise.run(chatters(3, 5), journal=first).close()
        for number in range(1, journals):
            shutil.copyfile(first, Path(folder) / f"{number}.journal")
        for _ in range(times):
            with monitor(Path(folder)) as server:
                seconds, found = timed(lambda: json.loads(server.get("/api/runs").read()))
            rows = found["runs"]  # type: ignore[index]
            if len(rows) != journals or any(row["error"] for row in rows):
                raise SystemExit("the list does not hold every journal")
            taken.append(seconds)
    return Figure(f"{journals:,} journals listed", tuple(taken), "s", 2.0, False, {"list": statistics.median(taken)})


def sparse(agents: int, rounds: int) -> World:
    """Agents of many kinds that move once in some hundred rounds."""
    kinds = {}
    for number, wake in enumerate(WAKES):
        text = "{\\22state\\22:\\22\\22,\\22wake_in\\22:" + str(wake) + "}"
        source = NO_OP.replace("{\\22state\\22:\\22\\22,\\22wake_in\\22:1}", text).replace("24))", "26))")
        kinds[f"kind-{number}"] = Agent(source, count=max(1, agents // len(WAKES)), start=True)
    return turnwise.World(name="sparse", rounds_max=rounds, agents=kinds)


def browsers() -> dict[str, Callable[[str], Any]]:
    """Browsers by name, each opened with the monitor's first address: those of the tests of pages.

    Opening one that is not there skips, as a test does.
    """
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from tests.long.browsers import Chromium, Firefox, Servo

    return {"Chromium": Chromium, "Firefox": Firefox, "Servo": Servo}


@contextmanager
def browser(name: str, server: Monitor) -> Iterator[Any]:
    """Have a browser that has the monitor's cookie."""
    found = browsers()[name](server.address)
    try:
        yield found
    finally:
        found.close()


def asked(of: Any, script: str) -> Any:
    """Run a script on the page that calls `done` once, and return what it gave."""
    of.script(
        f"(window.found = null, ((done) => {{{script}}})((value) => (window.found = JSON.stringify(value))), true)"
    )
    end = time.monotonic() + SECONDS_MAX
    while (found := of.script("window.found")) is None:
        if time.monotonic() > end:
            raise SystemExit("the page has not come to an end")
        time.sleep(0.05)
    return json.loads(found) if isinstance(found, str) else found


DRAWN = """
const look = () => {
  const canvas = document.querySelector(".stage canvas");
  if (canvas && canvas.width > 300) {
    const image = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    const colours = new Set();
    for (let at = 0; at < image.length; at += 404) colours.add(`${image[at]} ${image[at + 1]} ${image[at + 2]}`);
    const contentful = performance.getEntriesByName("first-contentful-paint")[0];
    if (colours.size > 3 && contentful) return done([contentful.startTime, performance.now()]);
  }
  setTimeout(look, 5);
};
look();
"""
"""Milliseconds from the navigation to the first paint of any content, and until the timeline has turns."""
FRAMES = """
const seconds = SECONDS;
const canvas = document.querySelector(".stage canvas");
const box = canvas.getBoundingClientRect();
const at = { clientX: box.left + 600, clientY: box.top + 300, bubbles: true, cancelable: true };
const taken = [];
let before = performance.now(), begun = before, number = 0;
const move = (now) => {
  taken.push(now - before);
  before = now;
  number++;
  const [there, moves] = [number % 120 < 60, number % 240 >= 120];
  const turned = moves ? { deltaY: there ? 40 : -40, shiftKey: true } : { deltaY: there ? -24 : 24 };
  canvas.dispatchEvent(new WheelEvent("wheel", { ...at, ...turned }));
  if (now - begun < seconds * 1000) requestAnimationFrame(move);
  else done(taken.slice(2));
};
requestAnimationFrame(move);
"""
"""Times between frames, while the wheel is turned in each: zooming in and out, and moving along rounds."""
DRAWS = """(() => {
const canvas = document.querySelector(".stage canvas");
if (!canvas || canvas.width < 301) return JSON.stringify([]);
const context = canvas.getContext("2d");
const box = canvas.getBoundingClientRect();
const at = { clientX: box.left + 600, clientY: box.top + 300, bubbles: true, cancelable: true, shiftKey: true };
let wanted = null;
window.requestAnimationFrame = (draw) => { wanted = draw; return 1; };
const taken = [];
for (let number = 0; number < 60; number++) {
  const before = performance.now();
  canvas.dispatchEvent(new WheelEvent("wheel", { ...at, deltaY: number % 20 < 10 ? 4 : -4 }));
  if (!wanted) return JSON.stringify([]);
  wanted(performance.now());
  wanted = null;
  context.getImageData(0, 0, 1, 1);
  taken.push(performance.now() - before);
}
return JSON.stringify(taken);
})()"""
"""Times of drawing, one after the other, while the timeline is moved along rounds: each to its end, since it is read.
For a browser whose pages cannot be asked twice, and so show no frames."""


def first_paint(turns: int, times: int) -> list[Figure]:
    """Open the page of a run for the first time."""
    paints, drawns = [], []
    with tempfile.TemporaryDirectory() as folder:
        turnwise.run(chatters(100, turns // 100), journal=Path(folder) / "a.journal").close()
        for _ in range(times):
            with monitor(Path(folder)) as server, browser("Chromium", server) as opened:
                opened.open(f"{server.root}?run=a.journal")
                paint, drawn = asked(opened, DRAWN)
                paints.append(paint / 1_000)
                drawns.append(drawn / 1_000)
    return [
        Figure(f"first paint, {turns:,} turns", tuple(paints), "s", 1.0, False, {"paint": statistics.median(paints)}),
        Figure(
            f"timeline drawn, {turns:,} turns", tuple(drawns), "s", 1.0, False, {"drawn": statistics.median(drawns)}
        ),
    ]


def frames(side: int, seconds: float, times: int) -> list[Figure]:
    """Zoom and move the timeline of as many agents as rounds, in each browser that is there."""
    found: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        with turnwise.run(sparse(side, side), journal=Path(folder) / "a.journal") as run:
            if run.last_round < side - max(WAKES):
                raise SystemExit("the run has ended before its rounds were played")
        for name in browsers():
            from _pytest.outcomes import Skipped

            try:
                with monitor(Path(folder)) as server, browser(name, server) as opened:
                    opened.open(f"{server.root}?run=a.journal")
                    found += frames_of(name, opened, side, seconds, times)
            except Skipped as why:
                print(f"{name}: {why}", file=sys.stderr)
    return found


def drawn(opened: Any) -> Any:
    """Times of drawing in a browser that opens the page anew for each question, until it has come so far."""
    for _ in range(OPENED_MAX):
        taken = opened.script(DRAWS)
        taken = json.loads(taken) if isinstance(taken, str) else taken
        if taken:
            return taken
    return []


def frames_of(name: str, opened: Any, side: int, seconds: float, times: int) -> list[Figure]:
    """Zoom and move in one browser while tiles are fetched and drawn; in Servo move those that are there."""
    rates, slowest = [], []
    if name != "Servo":
        asked(opened, DRAWN)
    for _ in range(times):
        taken = drawn(opened) if name == "Servo" else asked(opened, FRAMES.replace("SECONDS", str(seconds)))
        if not taken:
            raise SystemExit(f"{name} draws nothing")
        rates.append(1_000 / statistics.mean(taken))
        slowest.append(1_000 / sorted(taken)[round(len(taken) * 0.95) - 1])
    what = f"frames a second in {name}, {side:,} agents × {side:,} rounds"
    target = 10.0 if name == "Servo" else 60.0
    found = [Figure(what, tuple(rates), "", target, True, {})]
    if name != "Servo":
        found.append(Figure(f"{what}, 95 of 100 at least", tuple(slowest), "", 50.0, True, {}))
    return found


PARTS: dict[str, Callable[[bool], list[Figure]]] = {
    "run": lambda quick: beside_a_run(4, 6, 1) if quick else beside_a_run(100, 300, 30),
    "flood": lambda quick: flooded(10, 200, 1, 20) if quick else flooded(100, 600, 10, 1_250),
    "list": lambda quick: [listing(5, 1) if quick else listing(1_000, 5)],
    "paint": lambda quick: first_paint(1_000, 1) if quick else first_paint(100_000, 5),
    "frames": lambda quick: frames(500, 0.5, 1) if quick else frames(10_000, 5.0, 5),
}


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    options.add_argument("--quick", action="store_true", help="small and once: shows that it works, and no more")
    given = options.parse_args()
    figures: list[Figure] = []
    for part in given.only:
        begun = time.monotonic()
        found = PARTS[part](given.quick)
        for figure in found:
            print(json.dumps(figure.line()), flush=True)
        figures += found
        print(f"{part}: {time.monotonic() - begun:.0f} s", file=sys.stderr)
    print(table(figures), file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
