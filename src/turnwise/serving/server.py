"""The server as a whole: models are loaded, the socket is opened, and both are closed again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import uvicorn

from turnwise.errors import UsageError
from turnwise.inference.host.host import InferenceHost
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_info import ModelInfo
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.serving.app import make_app
from turnwise.serving.dispatcher import OPEN_MAX_DEFAULT, Dispatcher
from turnwise.serving.gate import is_loopback
from turnwise.system.clock import SYSTEM_CLOCK

CONNECTIONS_MAX: Final = 1_024
GRACE_S: Final = 5
"""Time for answers that are under way, when the server is told to end."""

OnReady = Callable[[str, Mapping[str, ModelInfo]], None]
"""Told where the server is to be found, and its models, once it answers."""


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """Address and admission of a server.

    - `host`, `port`: where it listens; port 0: a free one
    - `key`: that clients must send; None: none, which only this machine is trusted with
    - `origins`: of web pages that may ask
    - `open_max`: requests that may be open at once
    """

    host: str = "127.0.0.1"
    port: int = 8000
    key: str | None = None
    origins: tuple[str, ...] = ()
    open_max: int = OPEN_MAX_DEFAULT

    def check(self) -> None:
        """Check that strangers cannot ask. Raises UsageError."""
        if self.key is None and not is_loopback(self.host):
            raise UsageError(
                f"{self.host} can be reached from other machines, and no key is asked for",
                where="--host",
                hint="Give a key: --api-key FILE, or TURNWISE_API_KEY in the environment. Or leave out --host.",
            )


async def serve(
    specs: Sequence[ModelSpec], options: ServeOptions, on_ready: OnReady, engine: EngineOptions | None = None
) -> None:
    """Serve models until a signal says to end. Raises UsageError, ModelError or EnvironmentFailure."""
    options.check()
    dispatcher = Dispatcher(options.open_max)
    with _listening(options) as listener:
        host = InferenceHost(
            specs,
            on_replies=dispatcher.on_replies,
            on_failure=dispatcher.on_failure,
            on_wave=dispatcher.on_wave,
            on_pieces=dispatcher.on_pieces,
            options=engine,
        )
        async with host:
            dispatcher.host = host
            app = make_app(dispatcher, SYSTEM_CLOCK, key=options.key, origins=options.origins)
            server = _Server(app)
            place = f"[{options.host}]" if ":" in options.host else options.host
            on_ready(f"http://{place}:{listener.getsockname()[1]}/v1", host.models)
            ending = asyncio.create_task(_end_on_failure(dispatcher, server))
            try:
                with _signals(server):
                    await server.serve([listener])
            finally:
                ending.cancel()
    if dispatcher.failure is not None:
        raise dispatcher.failure


class _Server(uvicorn.Server):
    """uvicorn without its logs, which name who asks for what, and without its own handling of signals."""

    def __init__(self, app: object) -> None:
        logger = logging.getLogger("uvicorn.error")
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
        super().__init__(
            uvicorn.Config(
                app,  # type: ignore[arg-type]
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                limit_concurrency=CONNECTIONS_MAX,
                timeout_graceful_shutdown=GRACE_S,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def end(self) -> None:
        """End: what is under way gets `GRACE_S`; the second time, nothing."""
        self.force_exit = self.should_exit
        self.should_exit = True


async def _end_on_failure(dispatcher: Dispatcher, server: _Server) -> None:
    await dispatcher.failed.wait()
    server.end()


@contextlib.contextmanager
def _signals(server: _Server) -> Iterator[None]:
    """Have Ctrl-C and SIGTERM end the server."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {}
    for number in numbers:
        before[number] = signal.signal(number, lambda *_: loop.call_soon_threadsafe(server.end))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _listening(options: ServeOptions) -> Iterator[socket.socket]:
    """Open the socket, before models take their time to load. Raises UsageError if it cannot be had."""
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((options.host, options.port))
        except (OSError, OverflowError) as error:
            raise UsageError(
                f"cannot listen on {options.host}, port {options.port}: {getattr(error, 'strerror', None) or error}",
                where="--port",
                hint="Give another --port, or 0 for one that is free.",
            ) from error
        yield listener
