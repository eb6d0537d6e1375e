"""A module or component on trial: whether it keeps to the ABI, and what a turn of it does, without a world around it.

Imports and exports are those that a world would be refused for. Then two turns are executed in a sandbox, the first
without mail and the second with a message and what the first left as its state, and read as a run would read them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from turnwise.core.canonical import canonical
from turnwise.core.envelope import decode_needs, decode_output
from turnwise.core.plan import FUEL_DEFAULT, MEMORY_MIB_DEFAULT
from turnwise.core.turn import Completed, Failed, FailureClass
from turnwise.errors import Problem, TurnwiseError
from turnwise.sandbox.build.code import Code, CodeError, Language, Source, prepare
from turnwise.sandbox.execute.jobs import TurnJob, TurnResult
from turnwise.sandbox.pool.pool import Pool
from turnwise.world.files import Refused, read_bytes
from turnwise.world.limits import OUTPUT_MIB_DEFAULT, WASM_SOURCE_BYTES_MAX

MIB: Final = 1024 * 1024
ENDINGS: Final[dict[str, Language]] = {".wasm": "wasm", ".wat": "wat"}
SEED: Final = "5eed" * 16
MAIL: Final = {"from": "outside", "round": 1, "body": "hello"}

_CONTRACT: Final = (
    ("does not export its `memory`", "Export it under this name, and do not import one (wasm-ld: no --import-memory)."),
    ("does not export `turnwise_alloc", 'In C: __attribute__((export_name("turnwise_alloc"))), or include turnwise.h.'),
    ("does not export `turnwise_turn", 'In C: __attribute__((export_name("turnwise_turn"))), or include turnwise.h.'),
    (
        "wasi_snapshot_preview1",
        "Compile without a system (wasm32-freestanding, wasm32-unknown-unknown), or to a component.",
    ),
    ("it imports", "Leave out what needs it; all that a module may ask for goes through `turnwise.effect`."),
    ("which is not part of the contract", "Export only what the contract has (wasm-ld: no --export-all)."),
    ("must be", "Give it these parameters and results; pointers and lengths are i32."),
)
"""Words of a problem with imports and exports, and what to do about it; the first that fits."""

_FAILURES: Final = {
    FailureClass.TRAP: "The last function of the trace is where it ended; a pointer that it returned may lie outside.",
    FailureClass.FUEL: "A turn without mail has little to do: look for a loop without an end.",
    FailureClass.MEMORY: f"It has {MEMORY_MIB_DEFAULT} MiB, unless `memory_mib` says otherwise.",
    FailureClass.OUTPUT: "See docs/abi.md for what an output may hold.",
}


@dataclass(frozen=True, slots=True)
class ModuleCheck:
    """Findings about a module or component."""

    problems: tuple[Problem, ...]
    """Problems, the worst first; warnings keep no world from using it."""
    carrier: str | None
    """`module` or `component`; None if it keeps not to the contract."""
    fuel: tuple[int, ...]
    """Fuel of the turns on trial that were executed."""


async def check_module(path: Path) -> ModuleCheck:
    """Put the module or component in a file on trial. Raises `EnvironmentFailure` where nothing can be executed."""
    language = ENDINGS[path.suffix]
    try:
        content = read_bytes(path, WASM_SOURCE_BYTES_MAX)
        (code,) = await prepare([Source(str(path), language, {path.name: content}, path.name)])
    except Refused as error:
        return ModuleCheck((Problem(str(path), error.message, error.hint),), None, ())
    except CodeError as error:
        lines = error.message.splitlines()
        if not all(line.startswith(("it ", "its ")) for line in lines):  # of the compiler, not of the contract
            lines = [error.message]
        where = (error.where or "").removeprefix(f"{path}: ")
        found = [Problem(where, line, _hint(line) or error.hint or "") for line in lines]
        return ModuleCheck(tuple(found), None, ())
    problems: list[Problem] = []
    fuel: list[int] = []
    state = ""
    for number, mail in enumerate(((), (MAIL,)), 1):
        result = await _turn(code, number, state, mail)
        fuel.append(result.fuel)
        problem, state = _judge(str(path), result, "without mail" if not mail else "with a message", state)
        if problem is not None:
            problems.append(problem)
            break
    return ModuleCheck(tuple(problems), code.carrier, tuple(fuel))


def _hint(line: str) -> str | None:
    return next((hint for words, hint in _CONTRACT if words in line), None)


async def _turn(code: Code, number: int, state: str, mail: tuple[dict[str, object], ...]) -> TurnResult:
    """Execute a turn in a worker of its own."""
    envelope = canonical(
        {
            "abi": 1,
            "self": "agent",
            "kind": "agent",
            "args": {},
            "round": number,
            "turn": number,
            "now_us": 946_684_800_000_000,
            "seed": SEED,
            "state": state,
            "inbox": list(mail),
        }
    )
    done: asyncio.Future[TurnResult] = asyncio.get_running_loop().create_future()

    def fail(error: TurnwiseError) -> None:
        if not done.done():
            done.set_exception(error)

    async with Pool([code], workers=1, on_results=lambda results: done.set_result(results[0]), on_failure=fail) as pool:
        pool.submit(
            [
                TurnJob(
                    0,
                    code.hash,
                    envelope.encode(),
                    (),
                    FUEL_DEFAULT,
                    MEMORY_MIB_DEFAULT * MIB,
                    OUTPUT_MIB_DEFAULT * MIB,
                )
            ]
        )
        return await done


def _judge(where: str, result: TurnResult, which: str, state: str) -> tuple[Problem | None, str]:
    """Return what is wrong with a turn, if anything is, and the state that it leaves."""
    if result.status == "failed":
        kind = result.failure
        assert kind is not None
        message = f"a turn {which} fails ({kind.value}): {result.body.decode('utf-8', 'replace')}"
        return Problem(where, message, _FAILURES.get(kind, "See docs/abi.md for what a turn may do.")), state
    outcome = decode_output(result.body) if result.status == "completed" else decode_needs(result.body, result.content)
    match outcome:
        case Failed(failure) if failure.kind is FailureClass.RAISED:
            hint = "It may need arguments or a state that only its world gives: then nothing is wrong."
            return Problem(where, f"a turn {which} fails: {failure.message}", hint, is_warning=True), state
        case Failed(failure):
            return Problem(where, f"a turn {which}: {failure.message}", _FAILURES[FailureClass.OUTPUT]), state
        case Completed(output):
            return None, output.state
    return None, state
