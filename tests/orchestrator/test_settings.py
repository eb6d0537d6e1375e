"""Settings that are not what they can be are refused before anything begins."""

from __future__ import annotations

import pytest

from turnwise.errors import UsageError
from turnwise.orchestrator.settings import WORKERS_MAX, Settings
from turnwise.system.cores import cores


def test_workers_are_those_asked_for_then_those_of_the_environment_then_one_a_core(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TURNWISE_WORKERS", "3")
    assert Settings(workers=2).workers_count == 2
    assert Settings().workers_count == 3
    monkeypatch.setenv("TURNWISE_WORKERS", "")
    assert Settings().workers_count == min(WORKERS_MAX, cores())
    monkeypatch.delenv("TURNWISE_WORKERS")
    assert Settings().workers_count == min(WORKERS_MAX, cores())


@pytest.mark.parametrize("given", ["0", "-1", "two", "2.0", " 2", "02", "\u0662", str(WORKERS_MAX + 1), "9" * 5_000])
def test_no_number_of_workers_in_the_environment_is_the_user_s_mistake(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TURNWISE_WORKERS", given)
    with pytest.raises(UsageError, match="there cannot be") as caught:
        Settings()
    assert caught.value.where == "TURNWISE_WORKERS"
    assert Settings(workers=1).workers_count == 1
