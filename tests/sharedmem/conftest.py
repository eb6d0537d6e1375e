"""What the tests of processes share: both transports, and a way to start a child in a role."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest

import turnwise
from turnwise.sharedmem import Peer, Transport, launch

TRANSPORTS: tuple[Transport, ...] = ("memfd", "portable") if sys.platform == "linux" else ("portable",)
TEST_S_MAX = 120
T = TypeVar("T")


class Start(Protocol):
    """Start a child in a role of `children/sharedmem_child.py`."""

    def __call__(self, role: str, *arguments: str, **options: Any) -> Awaitable[Peer]: ...


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> Transport:
    chosen: Transport = request.param
    return chosen


@pytest.fixture
def child_path() -> str:
    """PYTHONPATH with which a child finds its module and the package under test."""
    package = Path(turnwise.__path__[0]).parent
    return os.pathsep.join([str(Path(__file__).parent / "children"), str(package)])


@pytest.fixture
def start(transport: Transport, child_path: str) -> Start:
    async def start_child(role: str, *arguments: str, **options: Any) -> Peer:
        environment = {"PYTHONPATH": child_path, **options.pop("environment", {})}
        return await launch(
            "sharedmem_child",
            name=role,
            transport=transport,
            arguments=(role, *arguments),
            environment=environment,
            **options,
        )

    return start_child


@pytest.fixture
def run() -> Callable[[Coroutine[Any, Any, T]], T]:
    """Run a test's coroutine in a loop of its own, and fail rather than hang."""

    def run_coroutine(coroutine: Coroutine[Any, Any, T]) -> T:
        async def bounded() -> T:
            async with asyncio.timeout(TEST_S_MAX):
                return await coroutine

        return asyncio.run(bounded())

    return run_coroutine
