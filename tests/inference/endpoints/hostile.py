"""An endpoint that answers with the bytes that a test gives it, and counts what it was asked."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Handler = Callable[[socket.socket, bytes], None]
"""Answers one request, given whole."""


class Endpoint:
    """A server of HTTP, one thread a connection. `handlers` answer one request each; the last one all that follow."""

    def __init__(self, *handlers: Handler) -> None:
        self.requests: list[bytes] = []
        self._handlers = list(handlers)
        self._lock = threading.Lock()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            while (request := _request(connection)) is not None:
                with self._lock:
                    self.requests.append(request)
                    handler = self._handlers.pop(0) if len(self._handlers) > 1 else self._handlers[0]
                handler(connection, request)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def _request(connection: socket.socket) -> bytes | None:
    """Read a request with its body."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65_536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
    )
    while len(body) < length:
        body += connection.recv(65_536)
    return head + b"\r\n\r\n" + body


@contextmanager
def endpoint(*handlers: Handler) -> Iterator[Endpoint]:
    """Have an endpoint for a while."""
    found = Endpoint(*handlers)
    try:
        yield found
    finally:
        found.close()


def raw(data: bytes) -> Handler:
    """Answer with bytes, and close the connection."""

    def handle(connection: socket.socket, request: bytes) -> None:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)

    return handle


def answer(value: Any, status: str = "200 OK", **headers: str) -> Handler:
    """Answer with JSON."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    lines = {"Content-Length": str(len(body)), "Content-Type": "application/json", **headers}
    head = "".join(f"{name.replace('_', '-')}: {text}\r\n" for name, text in lines.items())

    def handle(connection: socket.socket, request: bytes) -> None:
        connection.sendall(f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body)

    return handle


def says(text: str | None, finish: str = "stop", **more: Any) -> Handler:
    """Answer as a chat completion does."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish, **more}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    return answer({"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage})


def hangs(connection: socket.socket, request: bytes) -> None:
    """Say nothing until the other side has had enough."""
    connection.recv(1)


def drips(connection: socket.socket, request: bytes) -> None:
    """Begin an answer and never come to its end."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"400\r\n" + b" " * 1024 + b"\r\n")


def body_of(request: bytes) -> Any:
    return json.loads(request.partition(b"\r\n\r\n")[2])
