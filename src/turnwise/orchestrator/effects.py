"""Answers effects with models: hands the driver's requests to the inference host."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Protocol

from turnwise.core.canonical import canonical
from turnwise.core.events import Request
from turnwise.core.json_text import decode
from turnwise.core.records import WaveRecord
from turnwise.errors import InvariantError, TurnwiseError
from turnwise.inference.plans.wave import Wave, WaveReply
from turnwise.inference.requests.embed_request import EmbedRequest
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest
from turnwise.inference.requests.infer_request import InferRequest
from turnwise.orchestrator.contents import Contents
from turnwise.orchestrator.driven import Replies
from turnwise.orchestrator.waves import Waves


class Asker(Protocol):
    """The driver, as the one that asks for effects."""

    def on_replies(self, replies: Replies) -> None: ...
    def on_wave_begun(self) -> None: ...
    def on_wave(self, records: Sequence[WaveRecord], replies: Replies) -> None: ...
    def on_failure(self, error: TurnwiseError) -> None: ...


class Models(Protocol):
    """The inference host, or a share of one."""

    def submit(self, requests: Sequence[GenerateRequest | InferRequest | EmbedRequest]) -> None: ...
    def submit_wave(self, wave: Wave) -> None: ...


class Answered(Protocol):
    """The taker of what a host answers."""

    def on_replies(self, replies: Sequence[GenerateReply]) -> None: ...
    def on_wave(self, reply: WaveReply) -> None: ...


class Failing(Protocol):
    """The one that is told when a host has failed."""

    def on_failure(self, error: TurnwiseError) -> None: ...


def as_model_request(id_: int, action: Request, contents: Contents) -> GenerateRequest | InferRequest | EmbedRequest:
    """Return an effect as the inference host takes it, with the contents that it names."""
    request, model = action.request, model_of(action)
    if request.kind == "infer":
        return InferRequest(id_, model, request.body, {handle: contents.view(kept) for handle, kept in action.contents})
    if request.kind == "embed":
        return EmbedRequest(id_, model, _with_texts(request.body, action, contents))
    return GenerateRequest(id_, model, request.body, action.stream, action.now_us)


def _with_texts(body: str, action: Request, contents: Contents) -> str:
    """Return a request to embed with the texts that contents are, in the place of their handles.

    A content that is no text stays as it is, and the request is refused where it is read.
    """
    if not action.contents:
        return body
    views = {handle: contents.view(kept) for handle, kept in action.contents}
    asked = decode(body)
    texts = []
    for text in asked["texts"]:
        if isinstance(text, dict) and text.keys() == {"content"} and text["content"] in views:
            with suppress(UnicodeDecodeError):
                text = str(views[text["content"]], "utf-8")
        texts.append(text)
    return canonical({**asked, "texts": texts})


def model_of(action: Request) -> str:
    """Return the model that an effect asks."""
    if action.request.model is None:
        raise InvariantError("an effect without a model", actual=action.request.kind)
    return action.request.model


class ModelEffects:
    """Answerer of effects by models: at once, or for the models `waved` in waves.

    The host reports to `on_replies` and `on_wave`.
    """

    def __init__(self, host: Models, asker: Asker, contents: Contents, waved: Collection[str] = ()) -> None:
        self._host = host
        self._contents = contents
        self._asker = asker
        self._waved = frozenset(waved)
        self._waves = Waves(host, asker.on_wave, asker.on_wave_begun)
        self._others: dict[int, int] = {}

    def submit(self, requests: Sequence[tuple[int, Request]]) -> None:
        if not self._waved:
            self._host.submit([as_model_request(id_, action, self._contents) for id_, action in requests])
            return
        direct = []
        for id_, action in requests:
            if action.request.kind == "generate" and action.request.model in self._waved:
                self._waves.hold(id_, model_of(action), action)
            else:
                self._others[id_] = action.place
                direct.append(as_model_request(id_, action, self._contents))
        if direct:
            self._host.submit(direct)

    def settled(self, round_: int, calling: Collection[int] = ()) -> None:
        """Note that no turn of the round is being executed: a wave may begin."""
        if self._waved:
            self._waves.settled(round_, [*self._others.values(), *calling])

    def asked(self, number: int) -> int:
        """Return the id of the effect that the host is asked under a number: in a wave another one."""
        found = self._waves.asked(number) if self._waved else None
        return number if found is None else found

    def on_replies(self, replies: Sequence[GenerateReply]) -> None:
        """Hand on answers of the host beside waves."""
        for reply in replies:
            self._others.pop(reply.id, None)
        self._asker.on_replies([(reply.id, reply.body, reply.tokens) for reply in replies])

    def on_wave(self, reply: WaveReply) -> None:
        """Hand on the answers of a wave."""
        self._waves.take(reply)


class HostAnswers:
    """The callbacks of an inference host, which is started before the driver that asks it can be made.

    A failure that comes before `attach` is kept for the driver.
    """

    def __init__(self) -> None:
        self._attached: tuple[Answered, Failing] | None = None
        self._failure: TurnwiseError | None = None

    def attach(self, effects: Answered, asker: Failing) -> None:
        """Hand on what comes from here on, and a failure that has come before."""
        self._attached = effects, asker
        if self._failure is not None:
            asker.on_failure(self._failure)

    def on_replies(self, replies: Sequence[GenerateReply]) -> None:
        """Answers beside waves."""
        self._effects.on_replies(replies)

    def on_wave(self, reply: WaveReply) -> None:
        """The answers of a wave."""
        self._effects.on_wave(reply)

    def on_failure(self, error: TurnwiseError) -> None:
        """Hand on that the host has failed, or keep it until there is a driver."""
        if self._attached is None:
            self._failure = error
        else:
            self._attached[1].on_failure(error)

    @property
    def _effects(self) -> Answered:
        if self._attached is None:
            raise InvariantError("an answer that nobody has asked for")
        return self._attached[0]
