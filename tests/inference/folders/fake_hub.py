"""A hub on the loopback address that has one repository: what `huggingface_hub` asks of one, and no more."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE_BYTES_MIN = 10_000
"""Files from this size on are listed with a SHA-256, as the hub does it for those in large file storage."""


@dataclass
class FakeHub:
    """`files` by name. `cut` names files whose first answer ends half-way; `changed` those that arrive otherwise."""

    files: dict[str, bytes]
    repository: str = "someone/toy"
    revisions: tuple[str, ...] = ("main", "v1", COMMIT)
    cut: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    """Method, path and range of each request."""

    def __enter__(self) -> Self:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                hub._answer(self, body=False)

            def do_GET(self) -> None:
                hub._answer(self, body=True)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def fetched(self) -> list[str]:
        """Names of the files whose content was asked for, in order."""
        paths = [path for method, path, _ in self.requests if method == "GET" and "/resolve/" in path]
        return [path.split(f"/resolve/{COMMIT}/")[1] for path in paths]

    def _answer(self, handler: BaseHTTPRequestHandler, *, body: bool) -> None:
        path = unquote(urlsplit(handler.path).path)
        self.requests.append((handler.command, path, handler.headers.get("Range")))
        parts = path.strip("/").split("/")
        if parts[:2] == ["api", "models"] and "/".join(parts[2:4]) == self.repository:
            if len(parts) > 5 and parts[5] not in self.revisions:
                return self._refuse(handler, "RevisionNotFound")
            return self._send(handler, json.dumps(self._listing()).encode(), {"Content-Type": "application/json"}, body)
        if "/".join(parts[:2]) != self.repository or parts[2:4] != ["resolve", COMMIT]:
            return self._refuse(handler, "RepoNotFound")
        return self._file(handler, "/".join(parts[4:]), body)

    def _file(self, handler: BaseHTTPRequestHandler, name: str, body: bool) -> None:
        if name not in self.files:
            return self._refuse(handler, "EntryNotFound")
        content = self.files[name]
        sent = content[::-1] if name in self.changed else content
        headers = {"ETag": f'"{_etag(content)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        asked = handler.headers.get("Range")
        start = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(sent) - 1}/{len(sent)}"
        if body and not start and name in self.cut:
            self.cut.discard(name)
            handler.close_connection = True
            return self._send(handler, sent, headers, body, cut=len(sent) // 2)
        return self._send(handler, sent[start:], headers, body, status=206 if start else 200)

    def _send(
        self,
        handler: BaseHTTPRequestHandler,
        content: bytes,
        headers: dict[str, str],
        body: bool,
        status: int = 200,
        cut: int | None = None,
    ) -> None:
        handler.send_response(status)
        for key, value in headers.items():
            handler.send_header(key, value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        if body:
            handler.wfile.write(content if cut is None else content[:cut])
            handler.wfile.flush()

    def _refuse(self, handler: BaseHTTPRequestHandler, code: str) -> None:
        handler.send_response(404)
        handler.send_header("X-Error-Code", code)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    def _listing(self) -> dict[str, Any]:
        siblings = []
        for name, content in self.files.items():
            item: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": _blob(content)}
            if len(content) >= LARGE_BYTES_MIN:
                digest = hashlib.sha256(content).hexdigest()
                item["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 100}
            siblings.append(item)
        return {"id": self.repository, "modelId": self.repository, "sha": COMMIT, "siblings": siblings, "tags": []}


def _blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _etag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest() if len(content) >= LARGE_BYTES_MIN else _blob(content)


def folder_files(path: Path) -> dict[str, bytes]:
    """All files of a folder, by their names in it."""
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}
