from __future__ import annotations

import re
from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.inference.sampling.accepts import accepts
from turnwise.inference.sampling.schema.formats import PATTERNS


def matches(name: str, text: str) -> bool:
    return re.fullmatch(PATTERNS[name], text, re.ASCII) is not None


def test_every_day_of_four_centuries_and_no_other() -> None:
    for year in range(1797, 2201):
        for month in range(14):
            for day in range(33):
                text = f"{year:04}-{month:02}-{day:02}"
                try:
                    date.fromisoformat(text)
                except ValueError:
                    assert not matches("date", text)
                else:
                    assert matches("date", text)


@given(st.text("0123456789-", min_size=9, max_size=11) | st.dates().map(str))
def test_dates(text: str) -> None:
    try:
        expected = date.fromisoformat(text) is not None and len(text) == 10 and text[7] == "-"
    except ValueError:
        expected = False
    assert matches("date", text) == expected


@given(st.datetimes(), st.sampled_from(["Z", "z", "+00:00", "-23:59", "+05:30"]), st.sampled_from("Tt"))
def test_instants(at: datetime, zone: str, between: str) -> None:
    text = f"{at.isoformat()}{zone}".replace("T", between)
    assert matches("date-time", text)
    assert matches("time", text[11:])
    assert datetime.fromisoformat(text.upper()).date() == at.date()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("date", "2021-02-29", False),
        ("date", "2100-02-29", False),
        ("date", "2021-02-30", False),
        ("date", "0000-01-01", False),
        ("date", "0004-02-29", True),
        ("date", "2024-02-29", True),
        ("date", "2000-02-29", True),
        ("date-time", "2023-02-29T10:00:00Z", False),
        ("date-time", "2024-02-29T10:00:00.25+01:00", True),
        ("date-time", "1998-12-31T23:59:60Z", False),
        ("time", "24:00:00Z", False),
        ("time", "23:59:59Z", True),
        ("time", "23:59:59", False),
        ("ipv4", "256.1.1.1", False),
        ("uuid", "2eb8aa08-aa98-11ea-b4aa-73b441d16380", True),
    ],
)
def test_formats_of_answers(name: str, value: str, expected: bool) -> None:
    assert accepts({"type": "string", "format": name}, f'"{value}"') == expected


def test_a_format_beside_a_pattern() -> None:
    schema = {"type": "string", "format": "date", "pattern": "^20"}
    assert accepts(schema, '"2024-02-29"')
    assert not accepts(schema, '"2023-02-29"')
    assert not accepts(schema, '"1996-02-29"')
