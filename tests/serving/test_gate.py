"""Who is let in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import openai
import pytest

from tests.serving.servers import Server, serving
from turnwise.serving.gate import is_loopback

KEY = "a-key-of-the-tests-0123456789"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:1234", 200),
        ("127.0.0.1:80", 200),
        ("[::1]:80", 200),
        ("evil.example", 403),
        ("localhost.evil.example:80", 403),
        ("evil.example:127.0.0.1", 403),
        ("127.0.0.1.evil.example", 403),
    ],
)
def test_only_this_machines_names_are_answered(server: Server, host: str, status: int) -> None:
    assert httpx.get(f"{server.url}/models", headers={"host": host}).status_code == status


def test_a_page_of_another_origin_is_told_nothing(server: Server) -> None:
    origin = {"origin": "https://evil.example"}
    answer = httpx.get(f"{server.url}/models", headers=origin)
    assert "access-control-allow-origin" not in answer.headers
    asking = {**origin, "access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    assert httpx.options(f"{server.url}/chat/completions", headers=asking).status_code == 405
    form = httpx.post(f"{server.url}/completions", content=b'{"model": "demo"}', headers={"content-type": "text/plain"})
    assert form.status_code == 415


def test_a_key_is_asked_for_and_pages_may_be_let_in(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY + "\n")
    origin = "https://page.example"
    with serving("builtin:demo", "--api-key", tmp_path / "key", "--allow-origin", origin) as server:
        for given in ({}, {"authorization": f"Bearer {KEY}0"}, {"authorization": f"Basic {KEY}"}):
            answer = httpx.get(f"{server.url}/models", headers=given)
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
        right = {"authorization": f"Bearer {KEY}", "host": "anywhere.example", "origin": origin}
        answer = httpx.get(f"{server.url}/models", headers=right)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, origin)
        asking = {"origin": origin, "access-control-request-method": "POST"}
        assert httpx.options(f"{server.url}/chat/completions", headers=asking).status_code == 200
        assert httpx.options(f"{server.url}/chat/completions", headers=asking | {"origin": "null"}).status_code == 400
        with openai.OpenAI(base_url=server.url, api_key=KEY, max_retries=0) as client:
            assert [model.id for model in client.models.list()] == ["demo"]
        assert KEY not in server.said
        assert server.end() == 0


@pytest.mark.parametrize(
    ("arguments", "key", "words"),
    [
        (["--host", "0.0.0.0"], None, "no key is asked for"),
        (["--api-key", "sk-the-key-itself-0123456789"], None, "the file of the key cannot be read"),
        ([], "short", "a key has 16 to"),
        ([], "a key with white space in it", "a key has 16 to"),
    ],
)
def test_it_does_not_start_open_to_strangers(arguments: list[str], key: str | None, words: str) -> None:
    environment = dict(os.environ) | ({} if key is None else {"TURNWISE_API_KEY": key})
    ended = subprocess.run(
        [sys.executable, "-m", "turnwise", "serve", "builtin:demo", "--port", "0", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert words in ended.stderr
    assert key is None or key not in ended.stderr


def test_loopback_is_what_other_machines_cannot_reach() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.0.1", "example.org", "")))
