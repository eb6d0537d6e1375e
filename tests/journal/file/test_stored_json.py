"""Stored JSON is decoded, or the journal is said to be damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from turnwise.errors import JournalError
from turnwise.journal.file.stored_json import stored_json, stored_object

PATH = Path("run.journal")


def test_json_is_decoded() -> None:
    assert stored_json('[1,"a"]', "x", PATH) == [1, "a"]
    assert stored_json("null", "x", PATH) is None
    assert stored_object('{"a":1}', "x", PATH) == {"a": 1}


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "1" * 5_000 + "x"])
def test_what_is_none_is_damage(text: str) -> None:
    with pytest.raises(JournalError, match="the journal is damaged: the result is not JSON") as caught:
        stored_json(text, "the result", PATH)
    assert caught.value.where == str(PATH)


@pytest.mark.parametrize("text", ["[]", "null", "1", '"a"'])
def test_what_is_no_object_is_damage_where_there_should_be_one(text: str) -> None:
    with pytest.raises(JournalError, match="the info is not a JSON object") as caught:
        stored_object(text, "the info", PATH)
    assert caught.value.actual == text
