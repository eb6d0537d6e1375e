"""Names in Host headers, with and without ports, and those that are none."""

from __future__ import annotations

import pytest

from turnwise.system.host_name import host_name


@pytest.mark.parametrize(
    ("hosts", "name"),
    [
        (["localhost"], "localhost"),
        (["LocalHost:8000"], "localhost"),
        (["127.0.0.1:"], "127.0.0.1"),
        (["[::1]"], "[::1]"),
        (["[::1]:8000"], "[::1]"),
        (["evil.test:80x"], "evil.test:80x"),
        ([""], ""),
        ([], None),
        (["localhost", "evil.test"], None),
        (["localhost", "localhost"], None),
    ],
)
def test_a_name_is_found_if_there_is_just_one(hosts: list[str], name: str | None) -> None:
    assert host_name(hosts) == name
