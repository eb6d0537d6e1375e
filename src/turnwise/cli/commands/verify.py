"""`turnwise verify`: execute a run again, ask its models again, and compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from turnwise.cli.commands.options import JournalOrBundle, Json, Parents, Workers, model_folders
from turnwise.cli.commands.replay import difference_json, show_difference
from turnwise.cli.errors import DIFFERENT, DONE
from turnwise.cli.output import Output, bold, green, red
from turnwise.cli.text import count, json_text, shorten
from turnwise.errors import UsageError
from turnwise.visible_text import visible

if TYPE_CHECKING:
    from turnwise.evidence.verify import BundleVerification
    from turnwise.history.verify import Verification

DIGITS_MAX = 19


class RequiredLevel(StrEnum):
    """Levels that can be required."""

    L1 = "L1"
    L2 = "L2"


Rounds = Annotated[
    str | None,
    typer.Option("--rounds", metavar="A..B", help="Only these rounds; A.., ..B and A do, too.", show_default=False),
]
AskedBy = Annotated[
    str | None,
    typer.Option(
        "--agent",
        metavar="NAME",
        help="Ask models again only what this agent asked; all turns are executed.",
        show_default=False,
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="NAME=PATH",
        help="Ask the model in this folder, also if it is not the recorded one. May be repeated.",
    ),
]
Trusted = Annotated[
    list[Path] | None,
    typer.Option("--trust", metavar="PUBKEY", help="Of a bundle: this key must have signed it. May be repeated."),
]
Tolerant = Annotated[
    bool,
    typer.Option(
        "--tolerant",
        help="Hold recorded answers of language models to be near what the models give here: on another kind of "
        "processor, GPU or build, and sooner. No level is claimed.",
    ),
]
Required = Annotated[
    RequiredLevel | None,
    typer.Option("--require", metavar="LEVEL", help="Exit with 3 unless every model holds L1 (or L2) at least."),
]


def verify(
    journal: JournalOrBundle,
    rounds: Rounds = None,
    agent: AskedBy = None,
    workers: Workers = None,
    model: Models = None,
    trust: Trusted = None,
    tolerant: Tolerant = False,
    require: Required = None,
    parent: Parents = None,
    json: Json = False,
) -> int:
    """Execute a run again, models included, and compare.

    As replay, and each request to a model is submitted to it again: its reply must be the recorded one. The first
    difference is named, and the exit code is then 3. Of each model it is said what held: L2, replies are the same
    whatever runs beside what; L1, they are the same in the recorded waves; L0, they were taken from the journal, or are
    others. A model that is not the recorded one, or runs otherwise than recorded, is not asked unless --model names it.

    Of a bundle, everything in it is compared with its digests first, and its signature with --trust; nothing of it is
    executed before.
    """
    chosen, models = rounds_of(rounds), model_folders(model)
    from turnwise.evidence.archive import is_archive

    if is_archive(journal):
        found = _verify_bundle(journal, chosen, agent, workers, models, trust or [], json=json, tolerant=tolerant)
    elif trust:
        raise UsageError("a journal is not signed", where="--trust", hint="turnwise bundle JOURNAL -o FILE --sign KEY")
    else:
        found = _verify_journal(journal, chosen, agent, workers, models, parent or (), json=json, tolerant=tolerant)
    return _code(found, require)


def _verify_journal(
    path: Path,
    rounds: tuple[int, int | None],
    agent: str | None,
    workers: int | None,
    models: dict[str, Path],
    parents: Sequence[Path],
    *,
    json: bool,
    tolerant: bool,
) -> Verification:
    import turnwise
    from turnwise.cli.progress import counting

    err = Output.err()
    with counting(err, "verifying round") as progress:
        found = turnwise.verify(
            path,
            rounds=rounds,
            agent=agent,
            tolerant=tolerant,
            parents=parents,
            workers=workers,
            models=models,
            progress=progress,
        )
    _show(found, err if json else Output.out())
    if json:
        Output.out().write(json_text(_json(found, str(path))) + "\n")
    return found


def _code(found: Verification, require: RequiredLevel | None) -> int:
    """The exit code, and a line if a model holds less than is required."""
    if found.difference is not None:
        return DIFFERENT
    if require is not None and (lacking := [model for model in found.models if model.level < require.value]):
        names = ", ".join(f"{model.name} ({model.level})" for model in lacking)
        Output.err().row(red("less than required"), f": {names}, and --require {require.value}")
        return DIFFERENT
    return DONE


def _verify_bundle(
    path: Path,
    rounds: tuple[int, int | None],
    agent: str | None,
    workers: int | None,
    models: dict[str, Path],
    trust: list[Path],
    *,
    json: bool,
    tolerant: bool,
) -> Verification:
    import turnwise
    from turnwise.cli.progress import counting

    err = Output.err()
    output = err if json else Output.out()
    with counting(err, "verifying round") as progress:
        found = turnwise.verify_bundle(
            path,
            trust=trust,
            rounds=rounds,
            agent=agent,
            tolerant=tolerant,
            workers=workers,
            models=models,
            progress=progress,
        )
    parts = f"{count(found.members, 'part')} as the statement {found.sha256[:16]}… says"
    output.row(green("whole"), f": {parts}, made by turnwise {found.made_by}")
    _show_signer(found, output)
    _show(found.run, output)
    if json:
        bundle = {
            "statement_sha256": found.sha256,
            "parts": found.members,
            "made_by": found.made_by,
            "signers": list(found.signers),
            "trusted": found.trusted,
        }
        Output.out().write(json_text({**_json(found.run, str(path)), "bundle": bundle}) + "\n")
    return found.run


def _show_signer(found: BundleVerification, output: Output) -> None:
    if found.trusted is not None:
        output.row(green("signed"), f" by key {found.trusted}")
    elif found.signers:
        output.row("not proved: ", f"who made it; it names key {found.signers[0]} (--trust compares)")
    else:
        output.row("not proved: ", "who made it; it is not signed")


def rounds_of(option: str | None) -> tuple[int, int | None]:
    """The first and the last round, from `A..B`, `A..`, `..B` or `A`. Raises UsageError for another form."""
    if option is None:
        return 1, None
    first, dots, last = option.partition("..")
    texts = (first or "1", last) if dots else (first, first)
    numbers = [text for text in texts if text]
    digits = all(text.isascii() and text.isdecimal() and len(text) < DIGITS_MAX for text in numbers)
    if not digits or not option.strip("."):
        raise UsageError(
            f"{shorten(option)!r} names no rounds",
            where="--rounds",
            actual=shorten(option),
            hint="Write --rounds A..B, A.., ..B or A.",
        )
    return int(texts[0]), int(texts[1]) if texts[1] else None


def _show(found: Verification, output: Output) -> None:
    counts = f"{count(found.rounds, 'round')}, {count(found.turns, 'turn')}"
    replies = f"{found.replies:,} {'reply' if found.replies == 1 else 'replies'} of models"
    if found.difference is None:
        output.row(green("equal"), f": {counts}, {replies}, head {found.head}")
    else:
        show_difference(found.difference, output)
    if found.token is not None:
        expected, actual = (
            "the end" if token is None else f"{token.id} {visible(repr(token.text))}"
            for token in (found.token.expected, found.token.actual)
        )
        output.row(f"token {found.token.index} of the answer: ", f"expected {expected}, actual {actual}", indent=2)
    for model in found.models:
        asked = f"{model.compared:,} of {model.requests:,} replies compared"
        output.row(bold(model.level), f" {model.name}: {asked}")
        if near := model.nearness:
            output.row(
                "distance: ",
                f"{near.others:,} of {near.tokens:,} tokens would be others here; logits that are others by "
                f"{near.farthest:.3g} give them all, and {near.margin:.3g} may be; on average a token needs "
                f"{near.mean:.2g}, and {near.mean_max:.2g} may be",
                indent=3,
            )
        for reason in model.reasons:
            output.row("", reason, indent=3)
    for tool in found.tools:
        output.row(bold(tool.level), f" {tool.name}: {tool.compared:,} of {tool.calls:,} results compared")
        for reason in tool.reasons:
            output.row("", reason, indent=3)
    for note in found.notes:
        output.row("note: ", note)
    for line in found.unproved:
        output.row("not proved: ", line)


def _json(found: Verification, journal: str) -> dict[str, object]:
    return {
        "head": found.head,
        "rounds": found.rounds,
        "turns": found.turns,
        "replies": found.replies,
        "journal": journal,
        "equal": found.difference is None,
        "difference": difference_json(found.difference),
        "token": None if found.token is None else asdict(found.token),
        "models": [
            {
                "name": model.name,
                "level": model.level,
                "requests": model.requests,
                "compared": model.compared,
                "sha256": model.sha256,
                "reasons": list(model.reasons),
                "nearness": None if model.nearness is None else asdict(model.nearness),
            }
            for model in found.models
        ],
        "tools": [
            {
                "name": tool.name,
                "level": tool.level,
                "calls": tool.calls,
                "compared": tool.compared,
                "reasons": list(tool.reasons),
            }
            for tool in found.tools
        ],
        "notes": list(found.notes),
        "unproved": list(found.unproved),
    }
