"""Fixtures for all tests."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# No test asserts a time: these machines may be busy.
settings.register_profile("turnwise", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("turnwise")

# A shell starts what it runs in the background with SIGINT ignored, and so would every process of the tests.
if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def stories_models() -> Path:
    """The folder of the trained story models: `shared/models` beside a parent, or `TURNWISE_TEST_MODELS`.

    They are not part of the repository. Tests that need them are skipped where they are absent.
    """
    named = os.environ.get("TURNWISE_TEST_MODELS")
    places = [Path(named)] if named else [parent / "shared" / "models" for parent in Path(__file__).resolve().parents]
    for place in places:
        if (place / "reference.json").is_file():
            return place
    pytest.skip("the story models are not here: set TURNWISE_TEST_MODELS to the folder that holds reference.json")
