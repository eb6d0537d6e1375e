"""A run with telemetry for operators, and without: the ratio of times, beside its target of 1.01.

The same run is played alone, and with a process beside it that serves metrics (which are read each second), sends spans
to a collector on this machine, and writes lines of JSON; alternately. All come to the same head. The interval of the
ratio holds 95 of 100 samples drawn again from the pairs. A JSON line, then a table. For a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bench_monitor import interval
from proof.figure import Figure, alternately, medians, ratios, table
from proof.played import chatters

import turnwise
from turnwise.observing.beside import Beside

TARGET = 1.01
SCRAPE_SECONDS = 1.0


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


def observed(agents: int, rounds: int, times: int) -> Figure:
    """Play a run alone and observed; all come to the same head."""
    world = chatters(agents, rounds)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    collector = f"http://127.0.0.1:{server.server_address[1]}"
    with tempfile.TemporaryDirectory() as folder:
        number = iter(range(10**6))

        def alone() -> str:
            path = Path(folder) / f"{next(number)}.journal"
            with turnwise.start(world, journal=path) as live, live.result() as run:
                return run.head

        def watched() -> str:
            path, over = Path(folder) / f"{next(number)}.journal", threading.Event()
            with turnwise.start(world, journal=path) as live:
                live.step()
                log = path.with_suffix(".jsonl")
                observer = turnwise.observe(path, metrics=0, otlp=collector, log=log, from_start=True)
                scraper = threading.Thread(target=_scrape, args=(observer.address, over))
                scraper.start()
                live.play()
                live.wait()
                live.close()
            over.set()
            scraper.join()
            started.append(observer)
            with turnwise.open(path) as run:
                return run.head

        started: list[Beside] = []
        alone()
        sides: dict[str, Callable[[], str]] = {"alone": alone, "observed": watched}
        taken = alternately(sides, times)
        for observer in started:
            observer.close()
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
    figure = observed(10, 20, 2) if given.quick else observed(100, 300, 30)
    print(json.dumps(figure.line()), flush=True)
    print(table([figure]), file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
