"""Nobody answers without the token, by another name, or from another page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.monitor.petitions import petition
from tests.people.conftest import Page
from turnwise.orchestrator.outside_box import box_path

ANSWER = b'{"question": 3, "value": "A"}'


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("access") / "a.journal"
    petition(path)
    return path


@pytest.fixture(scope="module")
def page(journal: Path) -> Iterator[Page]:
    found = Page(journal)
    yield found
    found.close()


@pytest.mark.parametrize(
    ("token", "headers"),
    [
        ("", {}),
        ("wrong", {}),
        (None, {"Host": "evil.test"}),
        (None, {"Origin": "http://evil.test"}),
        (None, {"Sec_Fetch_Site": "cross-site"}),
        (None, {"Sec_Fetch_Site": "same-site"}),
        ("", {"Cookie": "TOKEN"}),
    ],
    ids=["no token", "another", "another name", "another origin", "another site", "another port", "as a cookie"],
)
def test_others_are_refused_and_leave_no_answer(
    page: Page, journal: Path, token: str | None, headers: dict[str, str]
) -> None:
    given = {name: value.replace("TOKEN", f"turnwise={page.token}") for name, value in headers.items()}
    for path, method, body in (("/api/now", "GET", None), ("/api/answer", "POST", ANSWER)):
        found = page.send(path, method=method, body=body, token=token, **given)
        assert found.status == 403
        assert page.token.encode() not in found.body
    assert not box_path(journal).exists()


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/api/now"), ("PUT", "/api/answer"), ("DELETE", "/"), ("POST", "/")]
)
def test_nothing_else_can_be_written(page: Page, journal: Path, method: str, path: str) -> None:
    assert page.send(path, method=method, body=ANSWER).status == 403
    assert not box_path(journal).exists()


def test_who_has_the_token_reads_by_each_name_that_is_allowed(page: Page) -> None:
    for host in ("127.0.0.1", f"localhost:{page.port}", f"machine.test:{page.port}"):
        assert page.send("/api/now", Host=host).status == 200


def test_files_of_the_page_need_no_token_and_others_are_not_there(page: Page) -> None:
    for name in ("", "page/answer.js", "page/forms.js", "page/dom.js", "page/style.css", "page/answer.css"):
        found = page.send(f"/{name}", token="")
        assert found.status == 200, name
        assert "default-src 'none'" in found.headers["content-security-policy"]
        assert found.headers["referrer-policy"] == "no-referrer"
    for name in (
        "page/app.js",
        "serve.py",
        "page/../serve.py",
        "page/%2e%2e/serve.py",
        "api/other",
        "page/page/dom.js",
    ):
        assert page.send(f"/{name}").status == 404, name
