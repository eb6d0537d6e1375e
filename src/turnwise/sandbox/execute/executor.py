"""The executor: loads compiled code in this process, and gives each job to its carrier.

Runs in a worker, on one thread, with one engine. `load` maps compiled code that `code.prepare` has made and checked; a
file that this engine did not make is refused by the engine itself.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from wasmtime import component as wc

from turnwise.errors import InvariantError
from turnwise.sandbox.execute.component import ComponentCarrier
from turnwise.sandbox.execute.engine import make_engine
from turnwise.sandbox.execute.execution import Execution
from turnwise.sandbox.execute.headroom import Headroom
from turnwise.sandbox.execute.jobs import TurnResult
from turnwise.sandbox.execute.modules import Carrier, ModuleLoader
from turnwise.sandbox.execute.replies import HandedReply
from turnwise.sandbox.execute.switches import ALL_ON, Switches

CarrierName = Literal["component", "module"]


@dataclass(frozen=True, slots=True)
class LoadedCode:
    """Code that a worker has loaded."""

    carrier: Carrier
    """Carrier that executes it."""
    ending: bytes | None
    """Ending of the input envelopes of an interpreter's agents; None for others."""


class Executor:
    """Executor of all code of a world, in the order in which it was loaded.

    `switches` say in which ways it may execute core modules.
    """

    def __init__(self, switches: Switches = ALL_ON) -> None:
        self._engine = make_engine()
        self._modules = ModuleLoader(self._engine, switches)
        self._headroom = Headroom()
        self._carriers: dict[str, Carrier] = {}
        self._programs: list[LoadedCode] = []

    def load(self, path: str, carrier: CarrierName, program: str | None) -> int:
        """Load compiled code from `path`, and return its index. Code of one path is loaded once.

        `program` is the compiled program of an agent in Python or JavaScript, which every input envelope of it carries.
        """
        if path not in self._carriers:
            self._carriers[path] = self._deserialize(path, carrier, is_interpreter=program is not None)
        ending = None if program is None else f',"program":{json.dumps(program)}}}'.encode()
        self._programs.append(LoadedCode(self._carriers[path], ending))
        return len(self._programs) - 1

    def _deserialize(self, path: str, carrier: CarrierName, *, is_interpreter: bool) -> Carrier:
        if carrier == "module":
            return self._modules.load(path, is_interpreter=is_interpreter)
        return ComponentCarrier(self._engine, wc.Component.deserialize_file(self._engine, path))

    def execute(
        self,
        job_id: int,
        program_index: int,
        input_: bytes,
        replies: Sequence[HandedReply],
        fuel: int,
        memory_bytes: int,
        output_bytes_max: int,
    ) -> TurnResult:
        """Execute one job; see `TurnJob` for the arguments. Whatever a guest does is a result.

        Raises `LackOfMemory` where the machine could not give it what its limits allow.
        """
        program = self._programs[program_index]
        if program.ending is not None:
            input_ = with_program(input_, program.ending)
        execution = Execution(input_, tuple(replies), fuel, memory_bytes, output_bytes_max)
        self._headroom.check(memory_bytes)
        outcome, used = program.carrier.execute(execution)
        self._headroom.check(memory_bytes)
        stdout = execution.stdout()
        return TurnResult(job_id, outcome.status, outcome.body, outcome.failure, used, stdout, outcome.content)


def with_program(envelope: bytes, ending: bytes) -> bytes:
    """Return the input envelope with the member `program` at its end."""
    body = envelope.rstrip()
    if not body.endswith(b"}") or body == b"{}":
        raise InvariantError("an input envelope must be a JSON object with members", actual=envelope[-40:])
    return body[:-1] + ending
