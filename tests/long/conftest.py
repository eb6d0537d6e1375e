"""The folder of what was fetched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def corpora() -> Path:
    folder = os.environ.get("TURNWISE_TEST_CORPORA")
    if not folder:
        pytest.skip("TURNWISE_TEST_CORPORA names no folder: python tests/long/fetch_corpora.py FOLDER")
    return Path(folder)
