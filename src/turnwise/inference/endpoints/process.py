"""The process that asks endpoints: it has the keys, speaks HTTP, and ends when the orchestrator is gone."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import BinaryIO, Final

import msgspec

from turnwise.inference.endpoints.chat import chat_reply, chat_request
from turnwise.inference.endpoints.embeddings import embed_reply, embed_request
from turnwise.inference.endpoints.exchange import client, exchange, without_key
from turnwise.inference.endpoints.messages import (
    LENGTH,
    MESSAGE_BYTES_MAX,
    TO_PROCESS,
    Ask,
    Begin,
    Drop,
    FromProcess,
    KeyedEndpoint,
    Ready,
    Told,
    ToProcess,
    framed,
)
from turnwise.inference.requests.refusal import Refusal, error_body

_ENDED: Final = None


class EndpointClient:
    """Requests that are being asked."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._lock = threading.Lock()
        self._http = client()
        self._endpoints: dict[str, KeyedEndpoint] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def serve(self, messages: asyncio.Queue[ToProcess | None]) -> None:
        """Do what messages say, until there are no more."""
        while (message := await messages.get()) is not _ENDED:
            match message:
                case Begin(endpoints):
                    self._endpoints = {endpoint.name: endpoint for endpoint in endpoints}
                    await self._tell(Ready())
                case Ask(id=number):
                    self._tasks[number] = asyncio.create_task(self._ask(message))
                case Drop(ids):
                    for number in ids:
                        task = self._tasks.get(number)
                        if task is not None:
                            task.cancel()

    async def _ask(self, message: Ask) -> None:
        endpoint = self._endpoints[message.model]
        tokens = 0
        try:
            if message.kind == "embed":
                path, members, texts = embed_request(endpoint.model, message.body)
                body = embed_reply(await exchange(self._http, endpoint, path, members), texts)
            else:
                path, members, asked = chat_request(endpoint.model, message.body, message.seed)
                body, tokens = chat_reply(await exchange(self._http, endpoint, path, members), asked)
        except Refusal as refusal:
            body = error_body(refusal.kind, refusal.message)
        except ValueError:  # halves of surrogate pairs, numbers that are none
            body = error_body("unavailable", "the answer of the endpoint holds what is no text")
        finally:
            self._tasks.pop(message.id, None)
        await self._tell(Told(message.id, without_key(body, endpoint), tokens))

    async def _tell(self, message: FromProcess) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self._write, framed(message))

    def _write(self, data: bytes) -> None:
        with self._lock:
            self._out.write(data)
            self._out.flush()


def _read(file: BinaryIO, tell: asyncio.Queue[ToProcess | None], loop: asyncio.AbstractEventLoop) -> None:
    """Read messages until the orchestrator is gone, or says what is none."""
    try:
        while len(head := file.read(LENGTH.size)) == LENGTH.size:
            (length,) = LENGTH.unpack(head)
            if length > MESSAGE_BYTES_MAX:
                break
            message = TO_PROCESS.decode(file.read(length))
            loop.call_soon_threadsafe(tell.put_nowait, message)
    except (OSError, msgspec.MsgspecError):
        pass  # it is gone
    loop.call_soon_threadsafe(tell.put_nowait, _ENDED)


async def _main() -> None:
    messages: asyncio.Queue[ToProcess | None] = asyncio.Queue()
    arguments = (sys.stdin.buffer, messages, asyncio.get_running_loop())
    threading.Thread(target=_read, args=arguments, name="turnwise-read", daemon=True).start()
    await EndpointClient(sys.stdout.buffer).serve(messages)


if __name__ == "__main__":
    asyncio.run(_main())
    sys.stdout = sys.stderr  # the orchestrator is gone: nothing is flushed into its pipe
