from __future__ import annotations

from pathlib import Path

import pytest

import turnwise
from tests.history.test_verify import writers
from tests.inference import toy
from tests.monitor.petitions import granted
from tests.orchestrator.worlds import lively


@pytest.fixture(scope="session")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal of agents that do everything but ask models."""
    path = tmp_path_factory.mktemp("export") / "lively.journal"
    turnwise.run(lively(seed=3, rounds_max=6), journal=path).close()
    return path


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal of agents that ask a model."""
    folder = tmp_path_factory.mktemp("export-model")
    turnwise.run(writers(toy.write_attention_folder(folder / "model")), journal=folder / "w.journal").close()
    return folder / "w.journal"


@pytest.fixture(scope="session")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal in which an agent asks people three times in one turn; nobody answers the second in time."""
    path = tmp_path_factory.mktemp("export-people") / "people.journal"
    granted(path)
    return path
