"""`turnwise check`: everything that is wrong with a world, without running it, or with a module by itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from turnwise.cli.commands.options import Json, WorldFolder
from turnwise.cli.errors import DONE, WRONG
from turnwise.cli.output import Output, dim, green, red, yellow
from turnwise.cli.progress import doing
from turnwise.cli.text import count, json_text

if TYPE_CHECKING:
    from turnwise.errors import Problem
    from turnwise.world.meaning.resolve import Resolved

KINDS_SHOWN_MAX = 20


def check(world: WorldFolder, json: Json = False) -> int:
    """Say everything that is wrong with a world, or with a module.

    Nothing of a world is run: sources are compiled, and models are looked for, but not loaded. A file of WebAssembly
    (.wasm, .wat) is checked by itself: its imports and exports, and two turns on trial in a sandbox. If anything is
    wrong, the exit code is 2.
    """
    if world.suffix in (".wasm", ".wat"):
        return _check_module(world, json=json)
    import turnwise

    with doing(Output.err(), "compiling sources"):
        problems = turnwise.check(world)
    output = Output.err() if json else Output.out()
    wrong = [problem for problem in problems if not problem.is_warning]
    for number, problem in enumerate(problems, 1):
        _show_problem(number, problem, output)
    if wrong:
        output.line(red(count(len(wrong), "problem")))
    else:
        describe(turnwise.World.read(world).resolve(), output)
    if json:
        Output.out().write(json_text({"ok": not wrong, "problems": _as_json(problems)}) + "\n")
    return WRONG if wrong else DONE


def _check_module(path: Path, *, json: bool) -> int:
    from turnwise.orchestrator.loop_thread import run_alone
    from turnwise.orchestrator.module_check import check_module

    with doing(Output.err(), "compiling and trying it"):
        found = run_alone(check_module(path))
    output = Output.err() if json else Output.out()
    wrong = [problem for problem in found.problems if not problem.is_warning]
    for number, problem in enumerate(found.problems, 1):
        _show_problem(number, problem, output)
    if wrong:
        output.line(red(count(len(wrong), "problem")))
    else:
        output.line(green("ok"), f": {path.name}, a {'core module' if found.carrier == 'module' else 'component'}")
        for fuel, which in zip(found.fuel, ("without mail", "with a message"), strict=False):
            output.line(dim("turn      "), f"{which}: {fuel:,} units of fuel", indent=2)
    if json:
        problems = _as_json(found.problems)
        value = {"ok": not wrong, "problems": problems, "carrier": found.carrier, "fuel": list(found.fuel)}
        Output.out().write(json_text(value) + "\n")
    return WRONG if wrong else DONE


def _as_json(problems: Sequence[Problem]) -> list[dict[str, object]]:
    return [{"where": p.where, "message": p.message, "hint": p.hint, "warning": p.is_warning} for p in problems]


def _show_problem(number: int, problem: Problem, output: Output) -> None:
    label = f"{number}. "
    what = f"warning: {problem.message}" if problem.is_warning else problem.message
    output.block(f"{problem.where}: {what}", first=yellow(label) if problem.is_warning else red(label))
    if problem.hint:
        output.block(problem.hint, indent=len(label))


def describe(world: Resolved, output: Output) -> None:
    """A world that has no problems, in a few lines."""
    output.line(green("ok"), f": {world.name}, seed {world.seed}")
    members: dict[str, int] = {kind.name: 0 for kind in world.kinds}
    for agent in world.agents:
        members[agent.kind] += 1
    shown = [f"{name} {number:,}" for name, number in list(members.items())[:KINDS_SHOWN_MAX]]
    more = [f"{len(members) - KINDS_SHOWN_MAX:,} more"] if len(members) > KINDS_SHOWN_MAX else []
    kinds = f"{count(len(world.agents), 'agent')} of {count(len(members), 'kind')}: {', '.join(shown + more)}"
    output.line(dim("agents    "), kinds, indent=2)
    for endpoint in world.endpoints:
        said = [f"{endpoint.model} at {endpoint.url}", f"task {endpoint.task}", "class none: nothing is promised"]
        output.line(dim("model     "), f"{endpoint.name}: {', '.join(said)}", indent=2)
    for model in world.models:
        said = [f"provider {model.provider}{', required' if model.require else ''}"]
        said += [f"variant {model.variant}"] if model.variant else []
        said += [f"task {model.task}"] if model.task else []
        said += [f"rewritten to accuracy level {model.accuracy_level}"] if model.accuracy_level else []
        said += [f"context {count(model.context_tokens_max, 'token')}"] if model.context_tokens_max else []
        said += ["windows kept alone"] if model.kv_window else []
        work = model.multiplications_max
        said += [f"at most {count(work, 'multiplication')} a run"] if work else []
        output.line(dim("model     "), f"{model.name}: {model.path} ({'; '.join(said)})", indent=2)
    output.line(dim("messages  "), count(len(world.messages), "message"), " in round 1", indent=2)
    output.line(dim("schedule  "), f"{world.schedule}, at most {count(world.rounds_max, 'round')}", indent=2)
