"""Answers effects with models: hands the driver's requests to the inference host."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from turnwise.core.events import Request
from turnwise.inference.embed_request import EmbedRequest
from turnwise.inference.host import InferenceHost
from turnwise.inference.infer_request import InferRequest
from turnwise.inference.request import GenerateReply, GenerateRequest

Replies = Sequence[tuple[int, str]]


def as_model_request(id_: int, action: Request) -> GenerateRequest | InferRequest | EmbedRequest:
    """An effect as the inference host takes it."""
    request = action.request
    assert request.model is not None
    if request.kind == "infer":
        return InferRequest(id_, request.model, request.body)
    if request.kind == "embed":
        return EmbedRequest(id_, request.model, request.body)
    return GenerateRequest(id_, request.model, request.body, action.stream)


class ModelEffects:
    """Every effect is answered by a model."""

    def __init__(self, host: InferenceHost) -> None:
        self._host = host

    def submit(self, requests: Sequence[tuple[int, Request]]) -> None:
        self._host.submit([as_model_request(id_, action) for id_, action in requests])


def deliver_to(on_replies: Callable[[Replies], None]) -> Callable[[Sequence[GenerateReply]], None]:
    """The host's callback: replies, by the ids that they were asked with."""

    def deliver(replies: Sequence[GenerateReply]) -> None:
        on_replies([(reply.id, reply.body) for reply in replies])

    return deliver
