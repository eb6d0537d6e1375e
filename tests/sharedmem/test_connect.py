from __future__ import annotations

import os
import subprocess
import sys

import pytest

from turnwise import sharedmem
from turnwise.errors import UsageError
from turnwise.sharedmem import connect


@pytest.mark.parametrize("argv", [["x"], ["x", "hello"], ["x", "memfd:a:b"], ["x", "1:2"]])
def test_a_child_module_started_by_hand_says_so(argv: list[str]) -> None:
    with pytest.raises(UsageError, match="not by hand"):
        connect(argv)


def test_a_transport_that_does_not_exist_is_named(child_path: str) -> None:
    program = f"import os; from turnwise.sharedmem import connect; connect(['', 'pigeon:0:{os.getpid()}'])"
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": child_path}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "there is no transport 'pigeon'" in done.stderr


@pytest.mark.parametrize("module", ["", *(["memfd", "memfd_child"] if sys.platform == "linux" else []), "pipe"])
def test_a_child_does_not_load_the_event_loop(child_path: str, module: str) -> None:
    program = "import sys, turnwise.sharedmem" + f".{module}" * bool(module) + "; print('asyncio' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": child_path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"


def test_everything_that_is_promised_is_there() -> None:
    for name in sharedmem.__all__:
        assert getattr(sharedmem, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        sharedmem.no_such_name  # noqa: B018
