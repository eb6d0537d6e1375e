"""A run with telemetry for operators, and without: the ratio of times, beside its target of 1.01.

The same run is played alone, and with a process beside it that serves metrics (which are read each second), sends spans
to a collector on this machine, and writes lines of JSON; alternately, now the one first and now the other, for not much
more than SECONDS_MAX. Rounds are timed, and not the start of that process. All come to the same head. The interval of
the ratio holds 95 of 100 samples drawn again from the pairs. A JSON line, then a table. For a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path

from bench_monitor import interval
from proof.figure import Figure, medians, ratios, table
from proof.played import chatters

import turnwise

TARGET = 1.01
SCRAPE_SECONDS = 1.0
SECONDS_MAX = 100.0
"""Time for pairs of runs: another is begun if it will have ended by then."""


class Collector(BaseHTTPRequestHandler):
    """Takes whatever it is sent."""

    received = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        type(self).received += 1
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class Pairs:
    """Runs of one world, alone and observed. What is timed is their rounds, and not what is started before them."""

    def __init__(self, folder: Path, agents: int, rounds: int, collector: str) -> None:
        self._folder = folder
        self._world = chatters(agents, rounds)
        self._collector = collector
        self._numbers = count()
        self.heads: set[str] = set()

    def play(self, *, is_observed: bool) -> float:
        """Play one run; return the seconds from its second round to its end."""
        path = self._folder / f"{next(self._numbers)}.journal"
        with turnwise.start(self._world, journal=path) as live:
            live.step()
            beside = _observing(path, self._collector) if is_observed else nullcontext()
            with beside:
                begun = time.perf_counter()
                live.play()
                live.wait()
                took = time.perf_counter() - begun
                live.close()
        with turnwise.open(path) as run:
            self.heads.add(run.head)
        return took


@contextmanager
def _observing(path: Path, collector: str) -> Iterator[None]:
    """Have a process beside a run tell of it in every way, and somebody read its metrics."""
    over = threading.Event()
    log = path.with_suffix(".jsonl")
    observer = turnwise.observe(path, metrics=0, otlp=collector, log=log, from_start=True)
    scraper = threading.Thread(target=_scrape, args=(observer.address, over))
    scraper.start()
    try:
        yield
    finally:
        over.set()
        scraper.join()
        observer.close()


def observed(agents: int, rounds: int, pairs_max: int, seconds_max: float) -> Figure:
    """Play pairs of runs for as long as there is time; all come to the same head."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    taken: dict[str, list[float]] = {"alone": [], "observed": []}
    with tempfile.TemporaryDirectory() as folder:
        pairs = Pairs(Path(folder), agents, rounds, f"http://127.0.0.1:{server.server_address[1]}")
        pairs.play(is_observed=False)
        begun = time.monotonic()
        while len(taken["alone"]) < pairs_max:
            order = list(taken) if len(taken["alone"]) % 2 else list(taken)[::-1]
            before = time.monotonic()
            for name in order:
                taken[name].append(pairs.play(is_observed=name == "observed"))
            now = time.monotonic()
            if now - begun + (now - before) > seconds_max:
                break
        if len(pairs.heads) != 1:
            raise SystemExit(f"the runs come to different heads: {pairs.heads}")
    server.shutdown()
    if not Collector.received:
        raise SystemExit("no spans have come to the collector")
    found = ratios(taken["observed"], taken["alone"])
    low, high = interval(found)
    name = f"a run that is observed / alone (95 %: {low:.4f} to {high:.4f})"
    return Figure(name, found, "", TARGET, False, medians(taken))


def _scrape(address: str | None, over: threading.Event) -> None:
    """Read metrics as Prometheus does."""
    while address is not None and not over.wait(SCRAPE_SECONDS):
        with urllib.request.urlopen(address) as answer:
            answer.read()


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="small and once: shows that it works, and no more")
    given = options.parse_args()
    figure = observed(10, 20, 2, 60.0) if given.quick else observed(100, 120, 40, SECONDS_MAX)
    print(json.dumps(figure.line()), flush=True)
    print(table([figure]), file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
