"""Rights that an inference process gives up on this machine, for people."""

from __future__ import annotations

from turnwise.confine import Measure
from turnwise.errors import EnvironmentFailure
from turnwise.inference import protocol
from turnwise.inference.host.supervisor import SERVER
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.protocol import Confined, Load, MessageKind
from turnwise.sharedmem import launch


async def measures_here(providers: tuple[str, ...] = ()) -> tuple[Measure, ...]:
    """Start an inference process without models, as if one ran on these execution providers, and ask it.

    Raises EnvironmentFailure if it does not start.
    """
    async with await launch(SERVER, name="inference") as peer:
        await peer.send(MessageKind.MESSAGE, protocol.encode(Load([], EngineOptions(), confined_for=providers)))
        while (message := await peer.receive()) is not None:
            with message:
                found = protocol.decode_from_process(bytes(message.body))
            if isinstance(found, Confined):
                return found.measures
        raise EnvironmentFailure(f"the inference process does not start: {peer.stderr_tail()}")
