"""`turnwise doctor`: what is there, what would be used, and why not the others."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from turnwise.cli.errors import DONE, FAILED
from turnwise.cli.output import Output, bold, red, yellow
from turnwise.cli.text import json_text

NAME_COLUMNS = 26


def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout instead of text.")] = False,
) -> int:
    """Say what this installation has and can do.

    Versions, execution providers and devices, how sandbox workers are confined, caches, limits of the machine. A
    section that cannot be found out says why, and the others are shown all the same; the exit code is then 1.
    """
    from turnwise.cli.facts import Section, examine

    def show(section: Section) -> None:
        output.line(bold(section.name))
        for fact in section.facts:
            value = "missing" if fact.value is None else str(fact.value)
            text = f"{fact.name.ljust(NAME_COLUMNS)}{value}"
            if fact.note:
                label = f"{text}  "
                output.block(fact.note, indent=2, first=label if fact.good else yellow(label), style="dim")
            else:
                output.line(text if fact.good else yellow(text), indent=2)
        if section.error is not None:
            output.block(section.error, indent=2, first=red("failed: "))
        output.line()

    output = Output.out()
    sections = examine()
    if json:
        facts = {
            section.name: {
                "error": section.error,
                "facts": [asdict(fact) for fact in section.facts],
            }
            for section in sections
        }
        output.write(json_text(facts) + "\n")
    else:
        for section in sections:
            show(section)
    return FAILED if any(section.error for section in sections) else DONE
