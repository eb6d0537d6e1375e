"""Take the pictures of docs/pictures from the monitor, of example worlds that are played for them.

python docs/pictures.py           plays the worlds and takes the pictures

Needs `pip install -e ".[monitor]" selenium`, Chromium and its driver. They are taken again when the page has changed;
the runs are the same every time, and so is what is seen, but for fonts and times.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver

import turnwise
from turnwise.journal.journal import Journal
from turnwise.monitor.answers.clock import ClockAxis
from turnwise.monitor.serve import MonitorServer
from turnwise.monitor.shown import ShownRuns

ROOT = Path(__file__).parents[1]
FOLDER = Path(__file__).with_name("pictures")
SIZE = 1280, 720
SECONDS_MAX = 60
CHANGED = "agents.Cora.args.mood=gruff"

PICTURES: dict[str, tuple[str, str]] = {
    "timeline": ("?run=friendly.journal&agent=Finn&round=8&colour=fuel", "Fork before this turn"),
    "conversation": ("?run=friendly.journal&view=conversation&of=Finn,Olga", "what haggler was asked"),
    "question": ("?run=desk.journal&agent=billing&round=3", "Asked, and waited"),
    "clock": ("?run=desk.journal&view=clock&when={when}", "waits for people"),
    "diff": ("?left=friendly.journal&right=gruff.journal", "What it reached"),
}
"""Address of each picture below the monitor's, and a text that is seen once everything is."""
LANE_PIXELS = 44
WARM_ROUND = 2
"""Round with which the picture of the clock begins: in the first, sandboxes are started."""


def play(folder: Path) -> None:
    """Play a day at the market, and fork it with one word changed, as docs/fork.md tells."""
    friendly, gruff = folder / "friendly.journal", folder / "gruff.journal"
    turnwise.run(ROOT / "examples" / "haggle", journal=friendly).close()
    turnwise.fork(friendly, 2, journal=gruff, overrides=[CHANGED]).result().close()
    desk = shutil.copytree(ROOT / "examples" / "support-desk", folder / "desk")  # it notes payments beside its tools
    with turnwise.start(desk, journal=folder / "desk.journal") as live:
        while live.step() or live.questions():
            for asked in live.questions():
                live.answer(asked.id, True)
        live.result().close()


def whole_clock(journal: Path) -> str:
    """The part of a clock that has all rounds but the first, as the address of the page says it."""
    axis = ClockAxis()
    with Journal.open(journal) as opened:
        axis.extend(opened)
    found = axis.bounds(0, 0)
    begin = found["offsets"][WARM_ROUND]
    wide = (SIZE[0] - 160) / (found["total_us"] - begin)
    return f"{begin}~0~{wide:.6g}~{LANE_PIXELS}"


@contextmanager
def monitored(folder: Path) -> Iterator[MonitorServer]:
    """A monitor of a folder, on a thread."""
    server = MonitorServer(ShownRuns(folder), port=0)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()


@contextmanager
def browser() -> Iterator[webdriver.Chrome]:
    """Chromium, with a window of one size."""
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def wait_for(driver: webdriver.Chrome, text: str) -> None:
    """Wait until a text is seen, and a moment for what is drawn."""
    end = time.monotonic() + SECONDS_MAX
    while text.lower() not in str(driver.execute_script("return document.body.innerText")).lower():
        if time.monotonic() > end:
            raise SystemExit(f"the page does not show {text!r}")
        time.sleep(0.1)
    time.sleep(0.5)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        play(Path(folder))
        with monitored(Path(folder)) as server, browser() as driver:
            driver.get(server.address)
            around = driver.execute_script("return [outerWidth - innerWidth, outerHeight - innerHeight]")
            driver.set_window_size(SIZE[0] + around[0], SIZE[1] + around[1])
            when = whole_clock(Path(folder) / "desk.journal")
            for name, (address, text) in PICTURES.items():
                driver.get(server.address.partition("?")[0] + address.format(when=when))
                wait_for(driver, text)
                driver.save_screenshot(str(FOLDER / f"{name}.png"))


if __name__ == "__main__":
    main()
