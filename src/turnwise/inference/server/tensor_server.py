"""Serves models on tensors: graphs for `infer`, encoders for `embed`.

Tensors are used where they lie, in the message that brought them, and the message is held until they have been. There
are few slots for messages, so small ones, and those that come while `HELD_COUNT_MAX` are held, are copied out at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from turnwise.inference.requests.embed_request import EmbedRequest
from turnwise.inference.requests.generate_request import GenerateReply
from turnwise.inference.requests.parcels import Parcel, unpack
from turnwise.inference.requests.refusal import Refusal, error_body
from turnwise.inference.tensor_models.embedder import LoadedEmbedder
from turnwise.inference.tensor_models.graph_engine import GraphAnswer, GraphEngine, GraphStatistics
from turnwise.inference.tensor_models.infer_job import InferJob
from turnwise.inference.tensor_models.load import LoadedGraph
from turnwise.sharedmem import LinkMessage

HELD_COUNT_MAX: Final = 2
IN_PLACE_BYTES_MIN: Final = 64 * 1024


class TensorServer:
    """Serves the models of a world that do not generate text."""

    def __init__(self, models: Mapping[str, LoadedGraph | LoadedEmbedder]) -> None:
        self._models = dict(models)
        self._engines = {
            name: GraphEngine(model.model if isinstance(model, LoadedGraph) else model.embedder.model)
            for name, model in models.items()
        }
        self._refused: list[GraphAnswer] = []
        self._apart: list[LinkMessage] = []
        self._held = 0

    @property
    def pending(self) -> bool:
        return bool(self._refused) or any(engine.pending for engine in self._engines.values())

    def task(self, model: str) -> str | None:
        """Return the task of a model; None if it is not one of these."""
        loaded = self._models.get(model)
        return None if loaded is None else loaded.info.task

    def keep(self, message: LinkMessage) -> None:
        """Take a message that is a large tensor of those that come next."""
        self._apart.append(message)

    def infer(self, message: LinkMessage) -> None:
        """Take the requests of a message, and the message itself, with the large tensors that came before it.

        They are released when they are done with.
        """
        apart, self._apart = self._apart, []
        if self._held >= HELD_COUNT_MAX or not (apart or len(message.body) >= IN_PLACE_BYTES_MIN):
            copies = [_copied(one) for one in (*apart, message)]
            for parcel in unpack(copies[-1], copies[:-1]):
                self._infer(parcel, None)
            return
        self._held += 1
        hold = _Hold((*apart, message), self)
        self._infer_in_place(message, apart, hold)
        hold.release()

    def embed(self, requests: Sequence[EmbedRequest]) -> None:
        """Take requests to embed texts."""
        for request in requests:
            model = self._models.get(request.model)
            try:
                if not isinstance(model, LoadedEmbedder):
                    raise self.wrong_task(request.model, "embed")
                self._engines[request.model].submit(model.embedder.job(request))
            except Refusal as refusal:
                self._refuse(request.id, refusal)

    def wrong_task(self, model: str, effect: str) -> Refusal:
        """Make the refusal for a model that does not answer an effect."""
        task = self.task(model) or "generate"
        message = f"the model {model!r} is there to {task}: it does not answer the effect {effect!r}"
        return Refusal("refused", message)

    def cancel(self, number: int) -> None:
        for engine in self._engines.values():
            engine.cancel(number)

    def step(self) -> list[GraphAnswer]:
        """Run every graph that has work once; returns answers."""
        answers, self._refused = self._refused, []
        for engine in self._engines.values():
            answers += engine.step()
        return answers

    def statistics(self) -> list[GraphStatistics]:
        return [engine.statistics() for engine in self._engines.values()]

    def _infer_in_place(self, message: LinkMessage, apart: Sequence[LinkMessage], hold: _Hold) -> None:
        """Take requests whose tensors stay in messages. A method, so that no frame refers to them afterwards."""
        for parcel in unpack(message.body, [one.body for one in apart]):
            self._infer(parcel, hold)

    def _infer(self, parcel: Parcel, hold: _Hold | None) -> None:
        model = self._models.get(parcel.label)
        try:
            if not isinstance(model, LoadedGraph):
                raise self.wrong_task(parcel.label, "infer")
            job = InferJob(parcel, model.model, hold.release if hold else _nothing)
        except Refusal as refusal:
            self._refuse(parcel.id, refusal)
            return
        if hold is not None:
            hold.count += 1
        self._engines[parcel.label].submit(job)

    def _refuse(self, number: int, refusal: Refusal) -> None:
        self._refused.append(GenerateReply(number, error_body(refusal.kind, refusal.message)))

    def _let_go(self) -> None:
        self._held -= 1


def _copied(message: LinkMessage) -> bytes:
    with message:
        return bytes(message.body)


class _Hold:
    """Messages in use: `count` requests, and their reader, still need their memory."""

    __slots__ = ("_messages", "_server", "count")

    def __init__(self, messages: Sequence[LinkMessage], server: TensorServer) -> None:
        self._messages = messages
        self._server = server
        self.count = 1

    def release(self) -> None:
        self.count -= 1
        if not self.count:
            for message in self._messages:
                message.release()
            self._server._let_go()


def _nothing() -> None:
    """Release callback of a request whose tensors were copied."""
