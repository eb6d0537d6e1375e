"""`turnwise chat`: from a pipe, and by a person on a terminal."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.cli.worlds import command, environment
from tests.inference import toy


def talked(text: str, *options: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command("chat", "builtin:demo", *options),
        input=text,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=cwd,
        env=environment(),
    )


def test_messages_come_from_a_pipe_and_only_answers_are_on_stdout(tmp_path: Path) -> None:
    once = talked("I can pay 40.\nI can pay\\\n60.\n", "--seed", 3, cwd=tmp_path)
    assert (once.returncode, once.stderr) == (0, "")
    assert once.stdout.strip()
    assert talked("I can pay 40.\nI can pay\\\n60.", "--seed", 3, cwd=tmp_path).stdout == once.stdout
    assert talked("I can pay 40.\nI can pay\\\n60.\n", "--seed", 4, cwd=tmp_path).stdout != once.stdout
    first = talked("/reset\n/seed 3\n\nI can pay 40.\n/quit\nnever", cwd=tmp_path)
    assert once.stdout.startswith(first.stdout)
    assert talked("", cwd=tmp_path).stdout == ""


def test_what_is_wrong_ends_a_conversation_that_no_person_leads(tmp_path: Path) -> None:
    for text, words in (
        ("/dance\n", "there is no /dance"),
        ("/seed x\n", "no whole number"),
        ("a b " * 999, "context"),
    ):
        ended = talked(text, cwd=tmp_path)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert words in ended.stderr


def test_a_person_interrupts_answers_and_leaves(tmp_path: Path) -> None:
    pytest.importorskip("termios")
    from tests.cli.test_terminal import on_terminal

    with on_terminal("chat", "builtin:demo", cwd=tmp_path) as terminal:
        terminal.read_until(r"/help tells.*\n> ")
        terminal.press(b"/help\n")
        terminal.read_until(r"(?s)/temperature T.*> ")
        terminal.press(b"/dance\n")
        terminal.read_until(r"(?s)there is no /dance.*> ")
        terminal.press(b"\x03")
        terminal.read_until(r"(?s)Ctrl-D leaves.*> ", again=b"\x03")
        terminal.press(b"I can pay 40.\n")
        terminal.read_until(r"(?s)40\..*\n.*\n> ")
        terminal.press(b"\x04")
        assert terminal.end() == 0


def test_ctrl_c_ends_an_answer_and_not_the_conversation(tmp_path: Path) -> None:
    pytest.importorskip("termios")
    from tests.cli.test_terminal import on_terminal

    template = {"chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}"}
    configuration = toy.config(16, 2, context_length=30_000)
    toy.write_folder(
        tmp_path / "endless", toy.attention_graph(), configuration=configuration, tokenizer_config=template
    )
    with on_terminal("chat", tmp_path / "endless", cwd=tmp_path) as terminal:
        terminal.read_until(r"/help tells.*\n> ")
        terminal.press(b"a\n")
        terminal.read_until(r"a\r\n[^\n]{20}")
        terminal.press(b"\x03")
        terminal.read_until(r"(?s)\(ended\).*> ")
        terminal.press(b"b\n")
        terminal.read_until(r"b\r\n[^\n]{20}")
        terminal.press(b"\x03")
        terminal.read_until(r"(?s)\(ended\).*> ")
        terminal.press(b"/quit\n")
        assert terminal.end() == 0
