"""`turnwise tools`, `turnwise call`: the tools of a world, and one of them on trial, without a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from turnwise.cli.commands.options import Json, WorldFolder
from turnwise.cli.errors import DONE, FAILED
from turnwise.cli.output import Output, Styled, bold, dim, red
from turnwise.cli.progress import doing
from turnwise.cli.text import count, json_text, shorten
from turnwise.cli.tool_text import parameters, type_words
from turnwise.errors import UsageError

if TYPE_CHECKING:
    from turnwise.orchestrator.tool_trial import TrialServer, TrialTool
    from turnwise.world import Resolved

TEXT_CHARS_MAX = 4_000
ARGS_HINT = 'Write a JSON object, such as \'{"city": "Vienna"}\'.'


def tools(world: WorldFolder, json: Json = False) -> int:
    """List the tools of a world, with their parameters and who may call them.

    Each server is started, asked for its list, and ended. --json has the schemas in full. The exit code is 1 if a
    server cannot be started.
    """
    from turnwise.orchestrator.loop_thread import run_alone
    from turnwise.orchestrator.tool_trial import list_tools

    resolved = _resolved(world)
    with doing(Output.err(), "starting servers"):
        servers = run_alone(list_tools(resolved))
    out = Output.out()
    if json:
        out.write(json_text({"servers": [_server_as_json(server) for server in servers]}) + "\n")
    else:
        for server in servers:
            _show_server(server, out)
        if not servers:
            out.line("This world has no tools; docs/tools.md says how it gets some.")
    return FAILED if any(server.problem is not None for server in servers) else DONE


def call(
    world: WorldFolder,
    tool: Annotated[str, typer.Argument(metavar="TOOL", help="Name of the tool: SERVER.NAME.", show_default=False)],
    args: Annotated[str, typer.Argument(metavar="[ARGS]", help="Its arguments, a JSON object.")] = "{}",
    answers: Annotated[
        str,
        typer.Option(
            "--answers", metavar="JSON", help="Answers to what the tool asks people, an object by their keys."
        ),
    ] = "{}",
    json: Json = False,
) -> int:
    """Call a tool of a world, as one of its agents would.

    The call is real: a tool that sends or writes does so. Nobody approves it, nothing of it is recorded, and its server
    is ended when it has answered. The exit code is 1 if the tool fails.
    """
    from turnwise.orchestrator.loop_thread import run_alone
    from turnwise.orchestrator.tool_trial import try_call

    resolved = _resolved(world)
    given, answered = _object(args, "arguments"), _object(answers, "answers")
    with doing(Output.err(), f"calling {tool}"):
        outcome = run_alone(try_call(resolved, tool, given, answered))
    out = Output.out()
    if json:
        out.write(json_text(outcome) + "\n")
    else:
        _show_outcome(outcome, out)
    return DONE if "ok" in outcome else FAILED


def _resolved(world: Path) -> Resolved:
    import turnwise

    return turnwise.World.read(world).resolve()


def _object(text: str, what: str) -> dict[str, Any]:
    from turnwise.core.json_text import decode

    try:
        value = decode(text)
    except ValueError as error:
        raise UsageError(f"the {what} are no JSON: {error}", hint=ARGS_HINT) from None
    if not isinstance(value, dict):
        raise UsageError(f"the {what} are no JSON object", hint=ARGS_HINT)
    return value


def _show_server(server: TrialServer, out: Output) -> None:
    said = red("cannot be started") if server.problem is not None else count(len(server.tools), "tool")
    out.line(bold(server.name), dim(f"  {server.kind}  "), said)
    if server.problem is not None:
        out.block(shorten(server.problem, TEXT_CHARS_MAX), indent=2)
    if server.models:
        out.line(dim("may ask models in a call: "), shorten(", ".join(server.models)), indent=2)
    for tool in server.tools:
        _show_tool(tool, out)
    for line in server.left_out:
        out.block(shorten(line, TEXT_CHARS_MAX), indent=2, style="yellow")


def _show_tool(tool: TrialTool, out: Output) -> None:
    spec = tool.spec
    marks = [*(["pure"] if spec.pure else []), *(["idempotent"] if spec.idempotent and not spec.pure else [])]
    out.line(Styled(tool.name, "cyan"), dim(f"  {', '.join(marks)}") if marks else "", indent=2)
    if spec.description:
        out.block(shorten(spec.description, TEXT_CHARS_MAX), indent=4)
    for parameter in parameters(spec.input_schema):
        label = f"{parameter.name}: {parameter.words}"
        out.row(shorten(label), f"  {shorten(parameter.description)}" if parameter.description else "", indent=4)
    if spec.output_schema is not None:
        out.line(dim("gives "), type_words(spec.output_schema, spec.output_schema), indent=4)
    granted = [f"{one.kind}{' (a person approves)' if one.approved else ''}" for one in tool.granted]
    out.line(dim("granted to "), shorten(", ".join(granted), TEXT_CHARS_MAX) if granted else "nobody", indent=4)


def _show_outcome(outcome: Any, out: Output) -> None:
    match outcome:
        case {"ok": {"text": str(text), **rest}}:
            out.block(text)
            if "data" in rest:
                out.line(dim("data  "), shorten(json_text(rest["data"]), TEXT_CHARS_MAX))
        case {"error": {"kind": str(kind), "message": str(message)}}:
            out.block(message, first=red(f"{kind}: "))
        case {"ask": {"questions": list(questions)}}:
            out.line(
                "The tool asks people; in a run, the agent's turn waits for them, here --answers gives them by key:"
            )
            for question in questions:
                text = shorten(str(question.get("text", "")), TEXT_CHARS_MAX)
                out.block(text, first=f"{question.get('key')}: ", indent=2)
                if "schema" in question:
                    out.line(dim(f"answer: {type_words(question['schema'], question['schema'])}"), indent=4)


def _server_as_json(server: TrialServer) -> dict[str, Any]:
    return {
        "name": server.name,
        "kind": server.kind,
        "problem": server.problem,
        "left_out": list(server.left_out),
        "models": list(server.models),
        "tools": [
            {
                "name": tool.name,
                "description": tool.spec.description,
                "input_schema": tool.spec.input_schema,
                "output_schema": tool.spec.output_schema,
                "idempotent": tool.spec.idempotent,
                "pure": tool.spec.pure,
                "granted": [{"kind": one.kind, "approve": one.approved} for one in tool.granted],
            }
            for tool in server.tools
        ],
    }
