"""Journals of core modules are the same in whichever way they are executed: heads, execution digests, every turn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import turnwise
from tests.guests import chooser
from tests.sandbox.execute.test_c_module import GUESTS, asks
from turnwise import Agent, Grants
from turnwise.sandbox.execute.switches import ALL_ON, OFF

REQUEST = '{"effect":"generate","model":"m","prompt":"?","tokens_max":1}'
ASKS_FOR_TEXT = (
    asks(f"(drop (call $effect (i32.const 512) (i32.const {len(REQUEST)}))) (return (i64.const 0x20000000010))")[:-1]
    + '(data (i32.const 512) "{}") (data (i32.const 8192) "{{\\"state\\":\\"asked\\"}}"))'.format(
        REQUEST.replace('"', '\\"')
    )
).replace("0x20000000010", f"{8192 << 32 | 17}")
"""An agent whose effect is refused, as it is not granted: it is executed twice, and reads the refusal."""

ROUNDS = 3


def world() -> turnwise.World:
    agents = {
        f"guest-{number}": Agent(source, start=True, fuel=300_000, memory_mib=2, output_mib=1)
        for number, source in enumerate(GUESTS.values())
    }
    agents["asks"] = Agent(ASKS_FOR_TEXT, start=True)
    agents["moves"] = Agent(
        chooser([{"state": "a", "wake_in": 1}, {"state": "b", "wake_in": 1, "send": [{"to": "moves-1", "body": "é"}]}]),
        start=True,
        count=5,
        grants=Grants(send=["moves-1"]),
    )
    return turnwise.World("w", seed=5, rounds_max=ROUNDS, agents=agents)


def played(path: Path) -> list[Any]:
    with turnwise.run(world(), journal=path, workers=1) as run:
        turns = [
            (turn.round, turn.agent, turn.output, turn.failure, turn.stdout, turn.fuel, turn.effects)
            for turn in run.turns
        ]
        asked = [turn for turn in turns if turn[1] == "asks"]
        assert [(turn[2] is not None and turn[2].state, len(turn[-1])) for turn in asked] == [("asked", 1)]
        assert len(run.failures) > len(GUESTS) - 4
        return [run.head, run.execution, turns]


def test_a_run_has_one_journal_in_every_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "fast.journal"
    fast = played(path)
    for name in ALL_ON.environment():
        monkeypatch.setenv(name, OFF)
        assert played(tmp_path / f"{name}.journal") == fast
    assert turnwise.replay(path).difference is None
