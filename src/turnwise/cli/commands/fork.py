"""`turnwise fork`: a new run that goes on from any round of another, with something changed."""

from __future__ import annotations

import json as json_module
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from turnwise.cli.commands.options import (
    AcceptTools,
    FailOnFailedTurns,
    JournalFile,
    Json,
    Log,
    Models,
    Parents,
    Workers,
    log_choice,
    model_folders,
)
from turnwise.errors import UsageError
from turnwise.people.answer_text import answer_value

At = Annotated[int, typer.Option("--at", metavar="ROUND", help="Go on after this round; 0 is the beginning.")]
New = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="NEW", help="The fork's journal, a new file.", show_default=False),
]
Message = Annotated[
    list[str] | None,
    typer.Option("--message", metavar="AGENT=TEXT", help="Send a message from outside. May be repeated."),
]
Drop = Annotated[
    list[int] | None,
    typer.Option("--drop", metavar="SEQ", help="Take away a message that is about to be read. May be repeated."),
]
State = Annotated[
    list[str] | None,
    typer.Option("--state", metavar="AGENT=FILE", help="Another state: JSON of a .json file, or a text."),
]
SourceFile = Annotated[
    list[str] | None, typer.Option("--source", metavar="AGENT=FILE", help="Another source of a kind of agent.")
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change a key of the world file from here on: agents.Ada.args.mood=grim."
    ),
]
Seed = Annotated[int | None, typer.Option("--seed", metavar="N", help="Another seed from here on.", show_default=False)]
Stop = Annotated[list[str] | None, typer.Option("--stop-agent", metavar="NAME", help="Stop an agent. May be repeated.")]
Answers = Annotated[
    list[str] | None,
    typer.Option(
        "--answer", metavar="ID=ANSWER", help="Answer a question that waits there otherwise. May be repeated."
    ),
]
ToolsWay = Annotated[
    str,
    typer.Option(
        "--tools",
        metavar="WAY",
        help="Calls of tools: recorded (answered as the run's were), live (made) or deny.",
    ),
]
WithoutInputs = Annotated[
    bool, typer.Option("--without-inputs", help="Do not repeat what came from outside in later rounds.")
]


def fork(
    journal: JournalFile,
    at: At,
    output: New = None,
    message: Message = None,
    drop: Drop = None,
    state: State = None,
    source: SourceFile = None,
    set_: Set = None,
    model: Models = None,
    seed: Seed = None,
    stop_agent: Stop = None,
    answer: Answers = None,
    tools: ToolsWay = "recorded",
    accept_tools: AcceptTools = False,
    without_inputs: WithoutInputs = False,
    parent: Parents = None,
    workers: Workers = None,
    log: Log = "info",
    fail_on_failed_turns: FailOnFailedTurns = False,
    json: Json = False,
) -> int:
    """Go on from any round of a run, with something changed, and play to the end.

    The new journal refers to the old one and copies nothing of it: keep both, or make it whole with "turnwise detach".
    With no change it comes to the head of the old run. "turnwise diff" tells what a change has reached.
    """
    models, level = model_folders(model), log_choice(log)
    import turnwise
    from turnwise.cli.playing import play_and_tell
    from turnwise.orchestrator.forked_calls import tool_mode

    messages: dict[str, list[str]] = {}
    for name, body in _pairs("--message", message):
        messages.setdefault(name, []).append(body)
    begin = partial(
        turnwise.fork,
        journal,
        at,
        messages=messages,
        drop=drop or (),
        states={name: _state(Path(path)) for name, path in _pairs("--state", state)},
        sources=dict(_pairs("--source", source)),
        overrides=set_ or (),
        seed=seed,
        stop=stop_agent or (),
        repeat_inputs=not without_inputs,
        answers={_number(number): answer_value(text) for number, text in _pairs("--answer", answer)},
        tools=tool_mode(tools),
        accept_tools=accept_tools,
        journal=output,
        parents=parent or (),
        workers=workers,
        models=models,
    )
    return play_and_tell(
        begin, f"fork of {journal}", log=level, fail_on_failed_turns=fail_on_failed_turns, as_json=json
    )


def _pairs(option: str, values: Sequence[str] | None) -> list[tuple[str, str]]:
    pairs = []
    for value in values or ():
        name, equals, rest = value.partition("=")
        if not equals or not name:
            raise UsageError(f"{value!r} names no agent", where=option, hint=f"Write {option} AGENT=…")
        pairs.append((name, rest))
    return pairs


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(
            f"{text!r} is no number of a question", where="--answer", hint="Write --answer 3=yes"
        ) from None


def _state(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
        value = json_module.loads(text) if path.suffix == ".json" else text
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            f"the state cannot be read: {error}", where=f"--state …={path}", hint="Name a file with JSON, or a text."
        ) from error
    return json_module.dumps(value) if isinstance(value, str) and path.suffix == ".json" else value
