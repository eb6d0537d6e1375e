"""Many large things at once, with real sandboxes and a journal: the run goes on, and so does every resume of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import turnwise
from tests.guests import constant, sender
from tests.inference import graphs
from turnwise import Agent, Grants, Model, World


def flood(senders: int, size: int) -> World:
    return World(
        "flood",
        agents={
            "sender": Agent(sender("hub", size), count=senders, start=True, grants=Grants(send=["hub"])),
            "hub": Agent(constant({"state": ""})),
        },
    )


@pytest.mark.timeout(900)
def test_a_hub_that_is_sent_more_than_fits_reads_on_in_later_rounds(tmp_path: Path) -> None:
    """75 agents send 3.9 MB each to one: 293 MB, of which two messages fit a turn."""
    path = tmp_path / "flood.journal"
    with flood(75, 3_900_000).start(journal=path) as live:
        assert live.step() is not None
        second = live.step()
        assert second is not None
        assert [len(turn.inbox) for turn in second.turns] == [2]
    with turnwise.resume(path) as live:  # 73 messages wait: they come out of the journal, and out again
        third = live.step()
        assert third is not None
        assert [turn.inbox for turn in third.turns] == [(2, 3)]
    with turnwise.resume(path).result() as run:
        inboxes = [turn.inbox for turn in run.turns if turn.agent == "hub"]
        assert [seq for inbox in inboxes for seq in inbox] == list(range(75))
        assert max(map(len, inboxes)) == 2
        assert run.status == "quiet"
        assert not list(run.failures)


BROADCAST = """
import resource, sys
from pathlib import Path
import turnwise
from tests.guests import constant
from turnwise import Agent, InitialMessage, World

readers = int(sys.argv[1])
world = World(
    "broadcast",
    agents={"reader": Agent(constant({"state": ""}), count=readers, groups=["readers"])},
    messages=[InitialMessage("readers", "x" * 1_000_000)],
)
with turnwise.run(world, journal=Path(sys.argv[2]), workers=1) as run:
    assert len(run.turns) == readers and not list(run.failures)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux counts it")
def test_a_broadcast_takes_no_more_memory_for_more_recipients(tmp_path: Path) -> None:
    def peak_kib(readers: int) -> int:
        arguments = [sys.executable, "-c", BROADCAST, str(readers), str(tmp_path / f"{readers}.journal")]
        root = Path(__file__).resolve().parents[2]
        return int(subprocess.run(arguments, capture_output=True, check=True, text=True, cwd=root).stdout)

    few, many = peak_kib(10), peak_kib(300)
    assert many - few < 100 * 1024  # a copy for each would be 290 MB more


ASKS_FOR_MUCH = """
def turn(t):
    found = t.infer_all("grows", [{"shape": [4_000_000]}] * 14, return_errors=True)
    t.state["kinds"] = [getattr(one, "kind", "fits") for one in found]
"""


@pytest.mark.timeout(900)
def test_a_turn_that_asks_for_fourteen_large_outputs_has_those_that_fit(tmp_path: Path) -> None:
    """14 outputs of 16 MB, of which two fit `effects_mib`: 21 MB each, as base64."""
    graphs.write_graph(tmp_path / "grows.onnx", graphs.growing_graph())
    asker = Agent(
        ASKS_FOR_MUCH, start=True, fuel=5_000_000_000, memory_mib=1024, effects_mib=48, grants=Grants(infer=["grows"])
    )
    world = World("much", models={"grows": Model(tmp_path / "grows.onnx")}, agents={"asker": asker})
    path = tmp_path / "much.journal"
    with turnwise.run(world, journal=path) as run:
        (turn,) = run.turns
        assert turn.failure is None
        assert json.loads(turn.output.state) == {"kinds": ["fits"] * 2 + ["refused"] * 12}
        assert [len(effect.reply) < 1000 for effect in turn.effects] == [False] * 2 + [True] * 12
    assert turnwise.replay(path).difference is None
