"""Rounds of agents in autogen-core's runtime in one process: nothing is durable. See `bench_peers.py`."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass

from autogen_core import AgentId, MessageContext, RoutedAgent, SingleThreadedAgentRuntime, message_handler


@dataclass
class Step:
    number: int


class Counter(RoutedAgent):
    def __init__(self) -> None:
        super().__init__("counts its turns")
        self.turns = 0

    @message_handler
    async def step(self, message: Step, context: MessageContext) -> None:
        self.turns += 1


async def main(agents: int, seconds: float) -> None:
    made: list[Counter] = []

    def make() -> Counter:
        made.append(Counter())
        return made[-1]

    runtime = SingleThreadedAgentRuntime()
    await Counter.register(runtime, "counter", make)
    ids = [AgentId("counter", str(number)) for number in range(agents)]
    runtime.start()

    async def play(number: int) -> None:
        await asyncio.gather(*[runtime.send_message(Step(number), id_) for id_ in ids])

    for number in range(3):
        await play(number)
    rounds = 0
    start = time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        await play(rounds)
        rounds += 1
    await runtime.stop_when_idle()
    assert sum(agent.turns for agent in made) == (rounds + 3) * agents
    print(json.dumps({"rounds": rounds, "seconds": elapsed}))


asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
