"""`turnwise answer`: answer a question that an agent of a run asks people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from turnwise.cli.commands.options import JournalFile, Json, Parents
from turnwise.cli.errors import DONE, FAILED
from turnwise.cli.output import Output, Styled, bold, dim
from turnwise.cli.serving_page import Beside, HostNames, Open, Port, serve_page
from turnwise.cli.summary import quoted_path
from turnwise.cli.text import count, json_text, shorten
from turnwise.errors import UsageError
from turnwise.people.answer_text import TEXT_CHARS_MAX, form_of, value_for

if TYPE_CHECKING:
    from turnwise.core.question import AskedQuestion

Number = Annotated[int | None, typer.Argument(metavar="[ID]", help="Number of the question.", show_default=False)]
Text = Annotated[
    str | None,
    typer.Argument(metavar="[ANSWER]", help="JSON, or text as it is where that is an answer.", show_default=False),
]


def answer(
    journal: JournalFile,
    question: Number = None,
    text: Text = None,
    parent: Parents = None,
    page: Annotated[bool, typer.Option("--page", help="Answer on a page, until Ctrl-C.")] = False,
    as_: Annotated[
        str | None,
        typer.Option("--as", metavar="NAME", help="On the page, answer for this agent alone, and see its mail."),
    ] = None,
    port: Port = 0,
    host_name: HostNames = None,
    beside: Beside = False,
    open_: Open = False,
    json: Json = False,
) -> int:
    """Answer a question that an agent asks people, or list those that wait, or answer on a page.

    The run may be going on, in another terminal say, or be stopped: then "turnwise resume" goes on with the answer. An
    answer that does not follow the question's schema is refused with what is wrong, and the question stays open. Of
    several answers the first counts; the others are told that they have no effect, with exit code 1.

    With --page, questions are answered in the browser, by whoever has the address that is printed, until Ctrl-C. Its
    server leaves answers as this command does, and has no other way to the run.
    """
    if page:
        return _serve(journal, as_, port, host_name or (), parent or (), open_=open_, beside=beside)
    import turnwise
    from turnwise.journal.run import Run
    from turnwise.orchestrator.answering import unknown_question

    parents = parent or ()
    with Run.open(journal, parents=parents) as run:
        waiting = run.questions
        known = question is None or run.is_question(question)
    if not known:
        raise unknown_question(question or 0)
    out = Output.out()
    if question is None or text is None:
        chosen = [asked for asked in waiting if question in (None, asked.id)]
        if json:
            out.write(json_text({"questions": [_as_json(asked) for asked in chosen]}) + "\n")
        else:
            for asked in chosen:
                show(asked, out)
            out.line(f"{count(len(chosen), 'question')} to people: turnwise answer {quoted_path(journal)} ID ANSWER")
        return DONE
    chosen = [asked for asked in waiting if asked.id == question]
    given = bool(chosen) and turnwise.answer(journal, question, value_for(chosen[0], text), parents=parents)
    if json:
        out.write(json_text({"question": question, "taken": given}) + "\n")
    elif given:
        out.line(f"Question {question} is answered; the run takes it with its next round.")
    else:
        out.line(f"Question {question} was answered before, or its turn is over: this answer has no effect.")
    return DONE if given else FAILED


def _serve(
    journal: Path,
    name: str | None,
    port: int,
    hosts: Sequence[str],
    parents: Sequence[Path],
    *,
    open_: bool,
    beside: bool,
) -> int:
    try:
        from turnwise.people.serve import AnswerServer
    except ImportError as error:
        hint = 'Install it: pip install "turnwise[monitor]"'
        raise UsageError(f"the page is not installed ({error.name} is missing)", hint=hint) from None
    server = AnswerServer(journal, name, port=port, hosts=hosts, parents=parents)
    words = f"answers {'the questions' if name is None else f'what {name} asks'} of {journal}"
    return serve_page(server, words, open_=open_, beside=beside)


def show(asked: AskedQuestion, out: Output) -> None:
    """Write a question for people."""
    deadline = "" if asked.deadline is None else dim(f"  until round {asked.deadline}")
    out.line(bold(f"{asked.id}  "), Styled(asked.agent, "cyan"), " asks", deadline)
    out.block(shorten(asked.text, TEXT_CHARS_MAX), indent=3)
    if form := form_of(asked):
        out.line(dim(shorten(f"answer: {form}", TEXT_CHARS_MAX)), indent=3)


def _as_json(asked: AskedQuestion) -> dict[str, object]:
    question = asked.question
    return {
        "id": asked.id,
        "agent": asked.agent,
        "text": asked.text,
        "schema": question.schema,
        "deadline": asked.deadline,
        "default": question.default,
    }
