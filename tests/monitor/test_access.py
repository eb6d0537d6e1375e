"""Nobody but who has the token may ask, by no other name, from no other site's page, and only to read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.monitor.conftest import Monitor


def test_the_first_address_gives_a_cookie_and_loses_the_token(monitor: Monitor) -> None:
    first = monitor.get(f"/?token={monitor.token}", cookie=False)
    assert first.status == 303
    assert first.headers["location"] == "/"
    cookie = first.headers["set-cookie"]
    assert cookie.startswith(f"turnwise-monitor-{monitor.port}={monitor.token};")
    assert {"httponly", "samesite=strict"} <= {part.strip().lower() for part in cookie.split(";")}
    page = monitor.get("/")
    assert page.status == 200
    assert monitor.token.encode() not in page.body


def test_two_monitors_do_not_take_each_others_cookies(monitor: Monitor, tmp_path: Path) -> None:
    other = Monitor(tmp_path)
    try:
        cookies = "; ".join(
            one.get(f"/?token={one.token}", cookie=False).headers["set-cookie"].partition(";")[0]
            for one in (monitor, other)
        )
        for one in (monitor, other):  # a browser sends the cookies of all ports to each
            assert one.get("/api/runs", cookie=False, Cookie=cookies).status == 200
        only_other = cookies.partition("; ")[2]
        assert monitor.get("/api/runs", cookie=False, Cookie=only_other).status == 403
    finally:
        other.close()


@pytest.mark.parametrize("path", ["/", "/api/runs", "/page/app.js", "/?token=guess", "/api/runs?token={token}"])
def test_without_the_token_nothing_is_told(monitor: Monitor, path: str) -> None:
    found = monitor.get(path.format(token=monitor.token), cookie=False)
    assert found.status == 403
    assert found.body == (
        b"The monitor's token is missing. Open the address that it printed, with all that stands behind it.\n"
    )


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:80"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_pages_of_other_sites_are_refused_even_with_the_cookie(monitor: Monitor, headers: dict[str, str]) -> None:
    assert monitor.get("/api/runs", **headers).status == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "machine.test"])
def test_its_own_names_are_answered(monitor: Monitor, host: str) -> None:
    name = f"{host}:{monitor.port}"
    assert monitor.get("/api/runs", Host=name, Origin=f"http://{name}".lower()).status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_it_can_only_be_read(monitor: Monitor, method: str) -> None:
    assert monitor.get("/api/runs", method=method).status == 403


def test_every_answer_forbids_what_the_page_does_not_need(monitor: Monitor) -> None:
    for path in ("/", "/page/app.js", "/api/runs", "/api/nothing", "/page/../access.py"):
        headers = monitor.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
