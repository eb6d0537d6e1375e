"""All models of a run: those that the inference process has, and those behind URLs, asked as one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from turnwise.errors import TurnwiseError
from turnwise.inference.endpoints.host import EndpointHost
from turnwise.inference.host.host import HostStatistics, InferenceHost
from turnwise.inference.plans.endpoint_spec import EndpointSpec
from turnwise.inference.plans.model_info import ModelInfo
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.plans.wave import Wave, WaveReply
from turnwise.inference.requests.embed_request import EmbedRequest
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest, RunningText
from turnwise.inference.requests.infer_request import InferRequest
from turnwise.inference.requests.refusal import error_body
from turnwise.sharedmem import Launch, Transport, launch

Spec = ModelSpec | EndpointSpec
"""A model as a world asks for it."""

Asked = GenerateRequest | InferRequest | EmbedRequest


class ModelHosts:
    """The inference process and the process that asks endpoints, each only if there are models for it.

    Members are those of `InferenceHost`, which `inference` is.
    """

    def __init__(
        self,
        specs: Sequence[Spec],
        *,
        on_replies: Callable[[list[GenerateReply]], None],
        on_failure: Callable[[TurnwiseError], None],
        on_wave: Callable[[WaveReply], None] | None = None,
        transport: Transport = "auto",
        tells_texts: bool = False,
        launch: Launch = launch,
    ) -> None:
        behind_urls = [spec for spec in specs if isinstance(spec, EndpointSpec)]
        self._on_replies = on_replies
        self._is_failed = False
        self._told = on_failure
        self._endpoints = (
            EndpointHost(behind_urls, on_replies=on_replies, on_failure=self._fail) if behind_urls else None
        )
        self._names = frozenset(spec.name for spec in behind_urls)
        self.inference = InferenceHost(
            [spec for spec in specs if isinstance(spec, ModelSpec)],
            on_replies=on_replies,
            on_wave=on_wave,
            on_failure=self._fail,
            transport=transport,
            tells_texts=tells_texts,
            launch=launch,
        )

    def _fail(self, error: TurnwiseError) -> None:
        """Tell of the first failure: nothing comes after it."""
        if not self._is_failed:
            self._is_failed = True
            self._told(error)

    @property
    def models(self) -> Mapping[str, ModelInfo]:
        """The models by name, after `start`."""
        if self._endpoints is None:
            return self.inference.models
        return {**self.inference.models, **self._endpoints.models}

    @property
    def pid(self) -> int | None:
        """The inference process, or None while there is none."""
        return self.inference.pid

    @property
    def texts(self) -> tuple[RunningText, ...]:
        """Ends of texts that were being generated a moment ago. For display only."""
        return self.inference.texts

    def statistics(self) -> HostStatistics:
        """Return telemetry of both."""
        found = self.inference.statistics()
        if self._endpoints is None:
            return found
        return replace(
            found,
            tokens=found.tokens + self._endpoints.tokens,
            pending=found.pending + self._endpoints.pending,
            restarts=found.restarts + self._endpoints.restarts,
        )

    async def start(self) -> None:
        """Load the models that are loaded here. Nobody looks whether endpoints are there: they may come and go."""
        await self.inference.start()

    def submit(self, requests: Sequence[Asked]) -> None:
        """Hand over requests, each to who has its model. Never blocks."""
        endpoints = self._endpoints
        if endpoints is None:
            self.inference.submit(requests)
            return
        behind_urls: list[GenerateRequest | EmbedRequest] = []
        others: list[Asked] = []
        refused: list[GenerateReply] = []
        for request in requests:
            if request.model not in self._names:
                others.append(request)
            elif isinstance(request, InferRequest):
                message = f"the model {request.model!r} is behind a URL, which answers no infer"
                refused.append(GenerateReply(request.id, error_body("refused", message)))
            else:
                behind_urls.append(request)
        if refused:
            endpoints.refuse(refused)
        if others:
            self.inference.submit(others)
        if behind_urls:
            endpoints.submit(behind_urls)

    def submit_wave(self, wave: Wave) -> None:
        """Hand over a wave, for a model that is loaded here."""
        self.inference.submit_wave(wave)

    def cancel(self, numbers: Iterable[int]) -> None:
        """Drop requests that are in no wave: no reply of theirs comes any more."""
        dropped = list(numbers)
        self.inference.cancel(dropped)
        if self._endpoints is not None:
            self._endpoints.cancel(dropped)

    async def close(self) -> None:
        """End both processes. Twice is harmless."""
        if self._endpoints is not None:
            await self._endpoints.close()
        await self.inference.close()
