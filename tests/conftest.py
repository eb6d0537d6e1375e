"""Fixtures for all tests."""

from __future__ import annotations

import functools
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.inference import pieces_toy
from tests.inference.layouts_toy import story_layout
from turnwise.demo import BUILTIN_DEMO, model_folder
from turnwise.system.user_folders import cache_folder

# No test asserts a time: these machines may be busy.
settings.register_profile("turnwise", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("turnwise")

# A shell starts what it runs in the background with SIGINT ignored, and so would every process of the tests.
if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Tests start hundreds of interpreters: none of them compiles what another has compiled, whatever the environment says.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A run of a test has one worker, unless the test says how many: starting processes is most of what small runs cost.
os.environ.setdefault("TURNWISE_WORKERS", "1")

# What is collected stays until the end: the collector need not go through it, neither now nor in any test.
gc.disable()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Set aside what was collected, and let Python look for cycles again."""
    gc.freeze()
    gc.enable()


def named_stories() -> Path | None:
    """Return the folder of the trained story models, if `TURNWISE_TEST_MODELS` names it."""
    named = os.environ.get("TURNWISE_TEST_MODELS")
    return Path(named) if named else None


@pytest.fixture(scope="session")
def stories_models() -> Path:
    """The folder of the trained story models: `TURNWISE_TEST_MODELS`, or `shared/models` beside a parent folder.

    They are not part of the repository, so tests that need them are marked `trained`.
    """
    named = named_stories()
    beside = [parent / "shared" / "models" for parent in Path(__file__).resolve().parents]
    for place in beside if named is None else [named]:
        if (place / "reference.json").is_file():
            return place
    pytest.skip("the story models are not here: set TURNWISE_TEST_MODELS to the folder that holds reference.json")


@pytest.fixture(scope="session")
def in_layout(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives a model in one of the layouts of the story models: a small one, or the trained if it is named."""
    return functools.cache(lambda layout: story_layout(layout, named_stories(), tmp_path_factory.mktemp(layout)))


@pytest.fixture(scope="session")
def pieces_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer.json of the kind of the story models, made by hand; or theirs, if their folder is named."""
    stories = named_stories()
    if stories is not None:
        return stories / "stories260k-genai-fp32" / "tokenizer.json"
    path = tmp_path_factory.mktemp("pieces") / "tokenizer.json"
    pieces_toy.piece_tokenizer().save(str(path))
    return path


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own, which knows compiled code (it takes seconds to make) and nothing of models."""
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    for entry in cache_folder().iterdir() if cache_folder().is_dir() else ():
        if entry.is_dir() or entry.name == "key":
            (folder / entry.name).symlink_to(entry)
    monkeypatch.setenv("TURNWISE_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def demo_model() -> Path:
    """The folder of the model that comes with Turnwise, for tests that need a language model and not a certain one."""
    return model_folder(BUILTIN_DEMO)
