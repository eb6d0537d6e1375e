"""The program as a whole: its commands, and what happens around each of them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Annotated, ParamSpec

import typer

from turnwise.cli.commands.answer import answer
from turnwise.cli.commands.build import build
from turnwise.cli.commands.bundle import bundle, keygen
from turnwise.cli.commands.chat import chat
from turnwise.cli.commands.check import check
from turnwise.cli.commands.debug import debug
from turnwise.cli.commands.detach import detach
from turnwise.cli.commands.diff import diff
from turnwise.cli.commands.doctor import doctor
from turnwise.cli.commands.export import export
from turnwise.cli.commands.fork import fork
from turnwise.cli.commands.generate import generate
from turnwise.cli.commands.log import log
from turnwise.cli.commands.mcp import mcp
from turnwise.cli.commands.models import MODELS
from turnwise.cli.commands.monitor import monitor
from turnwise.cli.commands.new import new
from turnwise.cli.commands.observe import observe
from turnwise.cli.commands.play import play
from turnwise.cli.commands.redact import compact, redact
from turnwise.cli.commands.replay import replay
from turnwise.cli.commands.resume import resume
from turnwise.cli.commands.run import run
from turnwise.cli.commands.runs import runs
from turnwise.cli.commands.send import send
from turnwise.cli.commands.serve import serve
from turnwise.cli.commands.sweep import sweep
from turnwise.cli.commands.tools import call, tools
from turnwise.cli.commands.verify import verify
from turnwise.cli.commands.watch import watch
from turnwise.cli.commands.why import why
from turnwise.cli.errors import FAILED, json_line, report
from turnwise.cli.output import Output, prepare_streams

Options = ParamSpec("Options")

app = typer.Typer(
    name="turnwise",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


class _Interrupted(Exception):
    """Ctrl-C or SIGTERM in a command, which typer would turn into a bare exit code without a message."""

    def __init__(self, error: KeyboardInterrupt) -> None:
        super().__init__()
        self.error = error


def _interruptible(command: Callable[Options, int]) -> Callable[Options, int]:
    @functools.wraps(command)
    def run(*args: Options.args, **options: Options.kwargs) -> int:
        try:
            return command(*args, **options)
        except KeyboardInterrupt as error:
            raise _Interrupted(error) from None

    return run


for command in (
    run,
    sweep,
    resume,
    play,
    answer,
    tools,
    call,
    send,
    fork,
    detach,
    replay,
    verify,
    diff,
    why,
    debug,
    bundle,
    keygen,
    redact,
    compact,
    export,
    log,
    runs,
    monitor,
    observe,
    watch,
    check,
    new,
    build,
    doctor,
    generate,
    chat,
    serve,
    mcp,
):
    app.command()(_interruptible(command))

models = typer.Typer(
    name="models",
    help="Get, list, check and measure models.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for name, command in MODELS.items():
    models.command(name)(_interruptible(command))
app.add_typer(models)


def _version(asked: bool) -> None:
    if asked:
        from turnwise._version import __version__

        typer.echo(f"turnwise {__version__}")
        raise typer.Exit


@app.callback()
def turnwise(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Play worlds of sandboxed agents on this machine, and prove what happened.

    A world is a folder with a world.toml: "turnwise new my-world" makes one that runs.

    Exit codes: 0 done, 1 the run failed, 2 wrong usage or input, 3 a difference was found, 130 interrupted (143
    by SIGTERM).
    """


def run_program(arguments: list[str]) -> int:
    """Run one command; return the exit code. Whatever goes wrong is said on stderr, in the style of `errors`."""
    prepare_streams()
    try:
        code = app(arguments, prog_name="turnwise", standalone_mode=False)
        code = code if isinstance(code, int) else 0
    except _Interrupted as interrupted:
        code = _fail(interrupted.error, arguments)
    except Exception as error:
        code = _fail(error, arguments)
    return _flushed(code)


def _fail(error: BaseException, arguments: list[str]) -> int:
    output = Output.err()
    code = report(error, output)
    output.flush()
    if "--json" in arguments:
        out = Output.out()
        out.write(json_line(error, code))
        out.flush()
    return code


def _flushed(code: int) -> int:
    """Flush both streams while an error can still be reported; return the exit code."""
    try:
        Output.out().flush()
    except OSError as error:
        report(error, Output.err())
        return code or FAILED
    Output.err().flush()
    return code
