"""The modules of packages, imported in a sandbox: what a package says does not tell whether it works there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Final

from turnwise.core.canonical import canonical
from turnwise.core.turn_input import TurnInput
from turnwise.errors import TurnwiseError
from turnwise.sandbox.build.code import Code, Source, prepare
from turnwise.sandbox.execute.jobs import TurnJob, TurnResult
from turnwise.sandbox.pool.pool import Pool

FUEL: Final = 100_000_000_000
MEMORY_BYTES: Final = 1024 * 1024 * 1024
OUTPUT_BYTES_MAX: Final = 16 * 1024 * 1024
_ENTRY: Final = "turnwise_trial.py"
_TRIAL: Final = """
import importlib

def turn(t):
    t.state = {}
    for name in t.args["modules"]:
        try:
            importlib.import_module(name)
            t.state[name] = None
        except BaseException as error:
            t.state[name] = f"{type(error).__name__}: {error}".encode("utf-8", "backslashreplace").decode()
"""


async def imported(files: Mapping[str, bytes], modules: Sequence[str]) -> dict[str, str | None]:
    """Import each module in a sandbox; return what went wrong by its name, None where nothing did.

    Raises `CodeError` for files that do not compile.
    """
    source = Source("the agent", "python", {**files, _ENTRY: _TRIAL.encode()}, _ENTRY)
    code = (await prepare([source]))[0]
    return dict.fromkeys(modules, None) | await _executed(code, modules)


async def _executed(code: Code, modules: Sequence[str]) -> dict[str, str | None]:
    given = TurnInput(
        name="trial",
        kind="trial",
        args=canonical({"modules": list(modules)}),
        round=1,
        turn=1,
        now_us=0,
        seed="0" * 64,
        state="",
        mail=(),
    )
    job = TurnJob(1, code.hash, given, (), FUEL, MEMORY_BYTES, OUTPUT_BYTES_MAX)
    results: list[TurnResult] = []
    failures: list[TurnwiseError] = []
    done = asyncio.Event()

    def on_results(found: list[TurnResult]) -> None:
        results.extend(found)
        done.set()

    def on_failure(error: TurnwiseError) -> None:
        failures.append(error)
        done.set()

    async with Pool([code], workers=1, on_results=on_results, on_failure=on_failure) as pool:
        pool.submit([job])
        await done.wait()
    if failures:
        raise failures[0]
    result = results[0]
    if result.status != "completed":
        return dict.fromkeys(modules, f"the sandbox ended: {result.body.decode(errors='replace')}")
    output = json.loads(result.body)
    if "error" in output:
        return dict.fromkeys(modules, output["error"])
    found: dict[str, str | None] = json.loads(output["state"])
    return found
