"""Lines of the terminal: what agents wrote never acts, neither as an escape nor as markup."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from rich.text import Text

from turnwise.visible_text import visible

CHARS_MAX: Final = 600
"""Characters of a message or an answer; the log has them whole."""
BLANK_LINES: Final = re.compile(r"\n\s*\n")
NAMES_MAX: Final = 6
"""Names of a list."""
OLD_MS: Final = 2_000
"""Age of a sample from which on it is said."""


def seen(text: str, *, lines: bool = False) -> str:
    """A text of somebody else's as it can be shown, cut where it is long."""
    cut = BLANK_LINES.sub("\n", text.strip()[:CHARS_MAX])
    left = len(text.strip()) - CHARS_MAX
    more = f" … {left:,} more characters" if left > 0 else ""
    return visible(cut, lines=lines) + more


def some(names: Sequence[str], count: int) -> str:
    """Some names, and how many more there are."""
    shown = ", ".join(visible(name) for name in names[:NAMES_MAX])
    left = count - min(len(names), NAMES_MAX)
    return f"{shown} and {left:,} more" if left > 0 else shown


def talk_lines(turns: Sequence[dict[str, Any]]) -> Iterator[Text]:
    """Messages and answers, a line each."""
    last = None
    for turn in turns:
        if turn["round"] != last:
            last = turn["round"]
            yield Text(f"── round {last:,} ", "dim")
        for answer in turn["answers"]:
            text = answer["text"]["text"]
            name, model = visible(turn["agent"]), visible(answer["model"])
            yield Text.assemble((name, "bold"), (f" hears {model} ", "dim"), (seen(text, lines=True), "italic"))
        for call in turn.get("calls", ()):
            name, tool = visible(turn["agent"]), visible(call["tool"])
            yield Text.assemble(
                (name, "bold"), (f" calls {tool} ", "dim"), (seen(call["text"]["text"], lines=True), "italic")
            )
        for asked in turn.get("asked", ()):
            words = " asks people " if asked["kind"] == "ask" else f" waits for a {visible(asked['kind'])} "
            yield Text.assemble((visible(turn["agent"]), "bold"), (words, "yellow"), seen(asked["text"]["text"]))
        for reply in turn.get("replies", ()):
            to = f"answer to {visible(reply['agent'])}, question {reply['question']} "
            yield Text.assemble((to, "green"), seen(reply["text"]["text"]))
        for default in turn.get("defaults", ()):
            name, answer = visible(turn["agent"]), seen(default["answer"]["text"])
            yield Text.assemble((name, "bold"), (" is answered by nobody in time ", "yellow"), answer)
        for message in turn["sent"]:
            to = visible(message["to"])
            name = visible(turn["agent"])
            yield Text.assemble(
                (name, "bold"), (" → ", "dim"), (f"{to} ", "bold"), seen(message["body"]["text"], lines=True)
            )
        if turn.get("failed"):
            yield Text.assemble((visible(turn["agent"]), "bold"), (f" failed: {visible(turn['failed'])}", "red"))


def facts_lines(told: dict[str, Any]) -> Iterator[Text]:
    """Telemetry of the process that plays the run: who moves and who waits, workers and models."""
    old = f"  last heard of {told['age_ms'] / 1_000:.0f} s ago" if told["age_ms"] > OLD_MS else ""
    yield Text.assemble(("live ", "bold cyan"), f"round {told['round']:,}, {told['turns']:,} turns", (old, "yellow"))
    if told["executing_count"]:
        yield Text.assemble(("moving   ", "dim"), some(told["executing"], told["executing_count"]))
    if told["asking"]:
        yield Text.assemble(("waiting  ", "dim"), some(told["asking"], len(told["asking"])))
    busy = sum(jobs > 0 for jobs in told["workers"])
    workers = f"{busy} of {told['workers_count']} busy, {told['jobs_queued']:,} turns queued"
    replaced = f", {told['worker_deaths']} replaced" if told["worker_deaths"] else ""
    yield Text.assemble(("workers  ", "dim"), workers, (replaced, "yellow"))
    if told["slots"]:
        engine = f"{told['running']} of {told['slots']} slots, {told['waiting']:,} waiting, {told['tokens']:,} tokens"
        cached = told["reused_tokens"]
        prompts = cached + told["prompt_tokens"]
        hits = f", {100 * cached / prompts:.0f} % of prompts from the cache" if cached else ""
        yield Text.assemble(("models   ", "dim"), engine, f", {told['kv_bytes'] / 2**20:.1f} MiB of KV cache{hits}")


def text_lines(told: dict[str, Any]) -> Iterator[Text]:
    """Ends of the texts that are being written."""
    for text in told["texts"]:
        more = "… " if text["cut"] else ""
        yield Text.assemble(
            (visible(text["agent"]), "bold"),
            (f" {more}", "dim"),
            visible(" ".join(text["text"].split())),
            ("▍", "cyan"),
        )
    if told["hidden"]:
        yield Text(f"{told['hidden']:,} more texts not shown", "dim")
