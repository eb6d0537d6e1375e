"""Worlds for tests of the command line. Most agents are WebAssembly text: they compile in no time."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from turnwise.cli.program import run_program

OUTPUT_AT = 4096
DISPLAY = ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "TURNWISE_DEBUG")


def says(output: str) -> str:
    """WebAssembly text of an agent that returns this output envelope in every turn."""
    data = "".join(f"\\{byte:02x}" for byte in output.encode())
    return (
        "(module\n"
        '  (memory (export "memory") 2)\n'
        f'  (data (i32.const {OUTPUT_AT}) "{data}")\n'
        '  (func (export "turnwise_alloc") (param i32) (result i32) (i32.const 8192))\n'
        '  (func (export "turnwise_turn") (param i32 i32) (result i64)\n'
        f"    (i64.const {OUTPUT_AT << 32 | len(output.encode())})))\n"
    )


TICKS = says('{"state":"","wake_in":1}')
SPINS = (
    '(module (memory (export "memory") 2)\n'
    '  (func (export "turnwise_alloc") (param i32) (result i32) (i32.const 8192))\n'
    '  (func (export "turnwise_turn") (param i32 i32) (result i64) (loop (br 0)) (i64.const 0)))\n'
)


def make_world(folder: Path, sources: dict[str, str], toml: str = "", **keys: object) -> Path:
    """A world with an agent for each source, all of which start. `keys` go into the table `[world]`."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["[world]", f'name = "{folder.name}"', *[f"{key} = {value}" for key, value in keys.items()]]
    for file, source in sources.items():
        (folder / file).write_text(source, encoding="utf-8")
        lines += [f"[agents.{Path(file).stem}]", f'source = "{file}"', "start = true"]
        if f"[agents.{Path(file).stem}.grants]" not in toml:
            lines.append("grants = { finish = true }")
    (folder / "world.toml").write_text("\n".join(lines) + "\n" + toml, encoding="utf-8")
    return folder


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "turnwise", *map(str, arguments)]


def environment(**changes: str) -> dict[str, str]:
    """This process's, so that coverage and paths reach the program, without what changes how it looks."""
    kept = {name: value for name, value in os.environ.items() if name not in DISPLAY}
    return {**kept, **changes}


def turnwise(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs the program to its end, as a person would in the folder `cwd`."""
    return subprocess.run(
        command(*arguments), cwd=cwd, env=environment(), capture_output=True, text=True, timeout=120, check=False
    )


def interrupt(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGINT)


def played_here(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """As `turnwise`, in this process: for what does not depend on the program's having one of its own."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with (
        pytest.MonkeyPatch.context() as patched,
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        for name in DISPLAY:
            patched.delenv(name, raising=False)
        code = run_program([str(argument) for argument in arguments])
    texts = [stream.buffer.getvalue().decode() for stream in (out, err)]  # type: ignore[attr-defined]
    return subprocess.CompletedProcess(list(arguments), code, *texts)
