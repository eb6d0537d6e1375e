from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from turnwise import sharedmem
from turnwise.sharedmem.process import PACKAGE_FOLDER, STDERR_TAIL_BYTES_MAX, Process, child_environment


def test_a_child_inherits_what_python_needs_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "somewhere")
    monkeypatch.setenv("SECRET_API_KEY", "hunter2")
    environment = child_environment({"EXTRA": "1", "HOME": "elsewhere"})
    assert environment["PYTHONPATH"].split(os.pathsep)[0] == "somewhere"
    assert environment["EXTRA"] == "1"
    assert environment["HOME"] == "elsewhere"
    assert "SECRET_API_KEY" not in environment
    assert "hunter2" not in environment.values()


def test_a_child_runs_the_code_that_its_parent_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also where the parent has found it by other means than installation or PYTHONPATH."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    program = "import turnwise.sharedmem; print(turnwise.sharedmem.__file__)"
    found = subprocess.run(
        [sys.executable, "-P", "-c", program],
        env=child_environment(None),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(found.stdout.strip()).resolve() == Path(sharedmem.__file__).resolve()
    folders = child_environment({"PYTHONPATH": str(PACKAGE_FOLDER)})["PYTHONPATH"].split(os.pathsep)
    assert folders.count(str(PACKAGE_FOLDER)) == 1


def test_a_child_starts_clean(start: Any, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_API_KEY", "hunter2")

    async def main() -> None:
        async with await start("environment", "one", "two three") as peer:
            message = await peer.receive()
            assert message is not None, peer.stderr_tail()
            with message:
                facts = ast.literal_eval(bytes(message.body).decode())
        assert "SECRET_API_KEY" not in facts["environment"]
        assert facts["stdin"] == ""
        assert facts["arguments"] == ["environment", "one", "two three"]
        assert facts["path0"] != ""  # -P: the current directory is no place to import from
        if sys.platform != "win32":
            assert facts["session"]
        # Three standard streams, its end of the link, one or two for each arena, and the listing itself.
        assert facts["descriptors"] <= 9

    run(main())


def process(program: str) -> Process:
    return Process([sys.executable, "-c", program], handle=0, environment=child_environment(None))


@pytest.mark.skipif(sys.platform == "win32", reason="inherits a descriptor that exists anyway")
def test_the_end_of_standard_error_is_kept_and_no_more() -> None:
    one = process(f"import sys; sys.stderr.write('a' * {STDERR_TAIL_BYTES_MAX} + 'the end\\u00e9')")
    assert one.wait() == 0
    tail = one.stderr_tail()
    assert tail.endswith("the endé")
    assert len(tail.encode()) == STDERR_TAIL_BYTES_MAX


@pytest.mark.skipif(sys.platform == "win32", reason="inherits a descriptor that exists anyway")
def test_what_is_not_text_is_shown_all_the_same() -> None:
    one = process("import os; os.write(2, b'\\xff\\xfe')")
    one.wait()
    assert one.stderr_tail() == "\ufffd\ufffd"


@pytest.mark.skipif(sys.platform == "win32", reason="inherits a descriptor that exists anyway")
def test_killing_what_has_ended_is_harmless() -> None:
    one = process("raise SystemExit(5)")
    assert one.wait() == 5
    one.kill()
    one.kill()
    assert one.poll() == 5
