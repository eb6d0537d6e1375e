"""`turnwise chat`: a conversation with a model in the terminal."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from turnwise.cli.commands.models.options import ModelFolder, Provider, Reproducible, Variant
from turnwise.cli.errors import DONE, report
from turnwise.cli.output import Output, bold, dim
from turnwise.errors import UsageError
from turnwise.visible_text import visible

if TYPE_CHECKING:
    from turnwise.serving.conversation import Conversation

PROMPT: Final = "> "
GOES_ON: Final = "\\"
"""At the end of a line: the message goes on in the next one."""


def chat(
    model: ModelFolder,
    system: Annotated[
        str | None, typer.Option("--system", metavar="TEXT", help="What the model is told first.", show_default=False)
    ] = None,
    temperature: Annotated[
        float, typer.Option("--temperature", metavar="T", help="0 takes the likeliest token each time.")
    ] = 0.7,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", help="Chooses what is drawn when the temperature is above 0.")
    ] = 0,
    variant: Variant = None,
    provider: Provider = "auto",
    reproducible: Reproducible = True,
) -> int:
    """Talk with a model.

    Each line is a message, unless it ends with a backslash: then it goes on. Ctrl-C ends an answer, Ctrl-D the
    conversation, /help tells the rest. Only answers are on stdout, so messages can come from a pipe. The same messages
    get the same answers on the same machine.
    """
    _check_temperature(temperature, "--temperature")
    from turnwise.inference.plans.model_spec import ModelSpec
    from turnwise.serving.conversation import Conversation

    spec = ModelSpec(Path(model).resolve().name, model, provider, variant=variant, reproducible=reproducible)
    with Conversation(spec) as conversation:
        if conversation.model.task != "generate":
            raise UsageError(f"a model to {conversation.model.task} with does not answer", where=str(model))
        conversation.system = system
        _Terminal(conversation, temperature, seed).run()
    return DONE


@dataclass(frozen=True, slots=True)
class _Command:
    """A line that is no message."""

    name: str
    argument: str
    about: str
    act: Callable[[str], None]


class _Terminal:
    """Messages from stdin, answers to stdout, everything else to stderr."""

    def __init__(self, conversation: Conversation, temperature: float, seed: int) -> None:
        self._conversation = conversation
        self._temperature = temperature
        self._seed = seed
        self._out = Output.out()
        self._err = Output.err()
        self._interactive = sys.stdin.isatty() and sys.stdout.isatty()
        self._leaves = False
        commands = (
            _Command("help", "", "this list", self._help),
            _Command("reset", "", "begin anew", self._reset),
            _Command("system", "TEXT", "what the model is told first; without TEXT: nothing", self._system),
            _Command("seed", "N", "what chooses among likely tokens", self._take_seed),
            _Command("temperature", "T", "0 takes the likeliest token each time", self._take_temperature),
            _Command("quit", "", "leave, as Ctrl-D does", self._quit),
        )
        self._commands = {command.name: command for command in commands}

    def run(self) -> None:
        """Go on until there are no more messages, nobody reads the answers, or the person leaves."""
        if self._interactive:
            with contextlib.suppress(ImportError):
                import readline  # noqa: F401 - lines can be edited, and the arrow keys find those before
            info = self._conversation.model
            self._note(f"{info.name}, context {info.context_length:,} tokens. /help tells what there is.")
        while not self._leaves and not self._out.gone:
            try:
                message = self._message()
            except KeyboardInterrupt:
                if not self._interactive:
                    raise
                self._out.write("\n")
                self._note("Ctrl-D leaves.")
                continue
            if message is None:
                break
            if message.startswith("/"):
                self._command(message)
            elif message.strip():
                self._answer(message)

    def _message(self) -> str | None:
        """Read a message, of one line or several; None at the end."""
        lines: list[str] = []
        while True:
            line = self._line()
            if line is None:
                return "\n".join(lines) if lines else None
            if not line.endswith(GOES_ON):
                return "\n".join([*lines, line])
            lines.append(line.removesuffix(GOES_ON))

    def _line(self) -> str | None:
        self._out.flush()
        if self._interactive:
            try:
                return input(PROMPT)
            except EOFError:
                self._out.write("\n")
                return None
        line = sys.stdin.readline()
        return line.removesuffix("\n").removesuffix("\r") if line else None

    def _answer(self, message: str) -> None:
        before, ended = self._conversation.dropped, True
        options = {"temperature": self._temperature}
        pieces = self._conversation.say(message, seed=self._seed, options=options)
        with contextlib.closing(pieces):
            try:
                for piece in pieces:
                    ended = piece.endswith("\n")
                    self._out.write(visible(piece, lines=True))
                    self._out.flush()
                    if self._out.gone:
                        return
            except KeyboardInterrupt:
                if not self._interactive:
                    raise
                self._out.write("\n")
                self._note("(ended)")
                return
            except UsageError as error:
                if not self._interactive:
                    raise
                report(error, self._err)
                self._err.flush()
                return
        if not ended:
            self._out.write("\n")
        self._out.flush()
        dropped = self._conversation.dropped
        if dropped > before:
            self._note(f"(the oldest {dropped} messages do not fit into the model's context any more)")

    def _command(self, line: str) -> None:
        name, _, argument = line[1:].partition(" ")
        command = self._commands.get(name)
        try:
            if command is None:
                raise UsageError(f"there is no /{name}", hint="/help tells what there is.")
            command.act(argument.strip())
        except UsageError as error:
            if not self._interactive:
                raise
            report(error, self._err)
            self._err.flush()

    def _help(self, _: str) -> None:
        for command in self._commands.values():
            self._err.line(bold(f"/{command.name} {command.argument}".ljust(16)), dim(command.about))
        self._err.line(dim("A line that ends with a backslash goes on. Ctrl-C ends an answer, Ctrl-D leaves."))
        self._err.flush()

    def _reset(self, _: str) -> None:
        self._conversation.messages.clear()
        self._conversation.dropped = 0
        self._note("(begun anew)")

    def _system(self, text: str) -> None:
        self._conversation.system = text or None

    def _take_seed(self, text: str) -> None:
        try:
            self._seed = int(text)
        except ValueError:
            raise UsageError(f"{text!r} is no whole number", where="/seed", hint="Write /seed 7.") from None

    def _take_temperature(self, text: str) -> None:
        try:
            temperature = float(text)
        except ValueError:
            raise UsageError(f"{text!r} is no number", where="/temperature", hint="Write /temperature 0.7.") from None
        _check_temperature(temperature, "/temperature")
        self._temperature = temperature

    def _quit(self, _: str) -> None:
        self._leaves = True

    def _note(self, text: str) -> None:
        self._out.flush()
        self._err.line(dim(text))
        self._err.flush()


def _check_temperature(temperature: float, where: str) -> None:
    if not math.isfinite(temperature) or not 0 <= temperature <= 100:
        raise UsageError(f"{temperature} is no temperature", where=where, hint="Give 0, or a number up to 100.")
