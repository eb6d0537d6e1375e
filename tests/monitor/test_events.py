"""A page is told of each round that a run commits, and of its end, while it is played."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any

import turnwise
from tests.monitor.conftest import Monitor
from tests.orchestrator.worlds import lively


def test_rounds_are_told_as_they_are_committed(tmp_path: Path) -> None:
    with turnwise.start(lively(seed=3, rounds_max=3), journal=tmp_path / "one.journal") as live:
        live.step()
        monitor = Monitor(tmp_path)
        try:
            asked = http.client.HTTPConnection("127.0.0.1", monitor.port, timeout=60)
            headers = {"Cookie": f"turnwise-monitor-{monitor.port}={monitor.token}"}
            asked.request("GET", "/api/events?run=one.journal", headers=headers)
            stream = asked.getresponse()
            assert stream.headers["content-type"].startswith("text/event-stream")

            def told() -> Any:
                while not (line := stream.readline()).startswith(b"data: "):
                    assert line
                return json.loads(line.removeprefix(b"data: "))

            assert told()["last_round"] == 1
            live.step()
            assert told()["last_round"] == 2
            live.result().close()
            while (now := told())["status"] == "open":
                pass
            assert now["status"] == "rounds_max"
            asked.close()
        finally:
            monitor.close()
