from __future__ import annotations

import threading

import numpy as np
import pytest

from turnwise.inference.requests.generate_request import Sampling
from turnwise.inference.sampling import choices
from turnwise.inference.sampling.choices import NUMBERS_MIN, TokenChoice, make_choices
from turnwise.inference.sampling.choose import UnusableLogits, choose

DRAWN = Sampling(0.8, top_p=0.95)


def rows(count: int, sampling: Sampling = DRAWN, size: int = 40_000) -> list[TokenChoice]:
    random = np.random.default_rng(count)
    return [
        TokenChoice(random.standard_normal(size).astype(np.float32), sampling, bytes([place]) * 32, place)
        for place in range(count)
    ]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The threads that choose."""
    found: set[int] = set()

    def watched(*arguments: object) -> int:
        found.add(threading.get_ident())
        return choose(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(choices, "choose", watched)
    return found


def test_two_threads_choose_what_one_does(seen: set[int]) -> None:
    mixed = rows(27)
    mixed[3:3] = rows(2, Sampling())
    expected = [choose(one.logits, one.sampling, one.stream, one.index) for one in mixed]
    assert make_choices(mixed, 1) == expected
    assert len(seen) == 1
    assert make_choices(mixed, 2) == expected
    assert len(seen) == 2


def test_what_is_little_is_not_handed_over(seen: set[int]) -> None:
    few = NUMBERS_MIN // 40_000
    for asked in (
        [],
        rows(1, size=10 * NUMBERS_MIN),
        rows(few),
        rows(40, Sampling()),
        rows(40, Sampling(1.0, top_k=1)),
    ):
        assert len(make_choices(asked, 8)) == len(asked)
    assert seen == {threading.get_ident()}


def test_what_cannot_be_chosen_is_told_of_its_row_alone() -> None:
    asked = rows(30)
    for place in (2, 17):
        asked[place].logits[5] = np.nan
    found = make_choices(asked, 2)
    assert [place for place, one in enumerate(found) if isinstance(one, UnusableLogits)] == [2, 17]


def test_a_defect_on_the_other_thread_is_no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    here = threading.get_ident()

    def broken(*arguments: object) -> int:
        if threading.get_ident() != here:
            raise IndexError("a defect")
        return 0

    monkeypatch.setattr(choices, "choose", broken)
    with pytest.raises(IndexError, match="a defect"):
        make_choices(rows(30), 2)
