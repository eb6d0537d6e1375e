"""`/v1/completions`: a text goes on, as it stands, without a chat template."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from turnwise.inference.plans.model_info import ModelInfo
from turnwise.inference.requests.fields import kind
from turnwise.inference.requests.generate_request import TOKENS_MAX_MAX
from turnwise.serving.api_error import refuse, unsupported
from turnwise.serving.catalogue import read_model
from turnwise.serving.chat_completions import FINISH, generate_requests, read_grammar, read_stream_options
from turnwise.serving.dispatcher import Answers, MakeRequest
from turnwise.serving.exchange import Origin
from turnwise.serving.logprobs import read_text_logprobs, text_logprobs, told_entries
from turnwise.serving.parameters import Parameters
from turnwise.serving.sampling import CHOICES_MAX, read_choices, read_sampling, read_seed

TOKENS_MAX_DEFAULT: Final = 16
"""The default of the API."""


@dataclass(frozen=True, slots=True)
class CompletionExchange:
    """A request to go on with texts.

    - `prompts`: the texts; each gets as many answers, those of the first text first
    - `echoes`: whether an answer begins with its text
    - `includes_usage`: whether the last event of a stream counts tokens
    - `logprobs`: whether log probabilities are asked for
    """

    model: ModelInfo
    requests: Sequence[MakeRequest]
    streams: bool
    prompts: Sequence[str]
    echoes: bool
    includes_usage: bool
    logprobs: bool

    async def whole(self, answers: Answers, origin: Origin) -> dict[str, Any]:
        replies = await answers.replies()
        choices = []
        for index, reply in enumerate(replies):
            before = self._before(index)
            logprobs = text_logprobs(told_entries(reply), len(before)) if self.logprobs else None
            choices.append(_choice(index, before + reply["text"], logprobs, FINISH[reply["finish"]]))
        return {**_head(origin), "choices": choices, "usage": self._usage(replies)}

    async def events(self, answers: Answers, origin: Origin) -> AsyncIterator[tuple[str | None, Any]]:
        told: dict[int, int] = {}
        counts: dict[int, int] = {}
        replies: dict[int, dict[str, Any]] = {}
        for place in answers.places:
            if before := self._before(place):
                yield self._chunk(origin, place, before, None)
        async for place, event, entries in answers.events():
            chars = told.get(place, 0)
            offset = len(self._before(place)) + chars
            if isinstance(event, str):
                told[place] = chars + len(event)
                counts[place] = counts.get(place, 0) + len(entries)
                yield self._chunk(origin, place, event, text_logprobs(entries, offset) if self.logprobs else None)
                continue
            replies[place] = event
            left = told_entries(event)[counts.get(place, 0) :]
            logprobs = text_logprobs(left, offset) if left else None
            yield self._chunk(origin, place, event["text"][chars:], logprobs, FINISH[event["finish"]])
        if self.includes_usage:
            counted = self._usage([replies[place] for place in sorted(replies)])
            yield None, {**_head(origin), "choices": [], "usage": counted}

    def _before(self, place: int) -> str:
        return self.prompts[place * len(self.prompts) // len(self.requests)] if self.echoes else ""

    def _chunk(
        self, origin: Origin, index: int, text: str, logprobs: dict[str, Any] | None, finish: str | None = None
    ) -> tuple[None, dict[str, Any]]:
        chunk = {**_head(origin), "choices": [_choice(index, text, logprobs, finish)]}
        return None, {**chunk, "usage": None} if self.includes_usage else chunk

    def _usage(self, replies: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        each = len(self.requests) // len(self.prompts)
        prompt = sum(reply["prompt_tokens"] for reply in replies[::each])
        completion = sum(reply["tokens"] for reply in replies)
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def read_completion(members: Parameters, models: Mapping[str, ModelInfo]) -> CompletionExchange:
    """Read a request. Raises ApiError naming what is wrong with it, or is not supported."""
    info = read_model(members, models, "generate")
    prompts = _prompts(members)
    body = read_sampling(members)
    body["tokens_max"] = members.integer("max_tokens", 1, TOKENS_MAX_MAX) or TOKENS_MAX_DEFAULT
    logprobs = read_text_logprobs(members)
    if logprobs is not None:
        body["logprobs"] = logprobs
    read_grammar(members, body)
    seed, choices = read_seed(members), read_choices(members)
    streams = members.boolean("stream")
    includes_usage = read_stream_options(members, streams)
    echoes = members.boolean("echo")
    if echoes and logprobs is not None:
        unsupported("echo", "log probabilities are told of answers, not of prompts: leave out echo or logprobs")
    members.only("best_of", (1, choices), "all answers are given: use n")
    members.only("suffix", ("",), "models here go on with a text, and fill in none")
    members.ignored("user")
    members.done()
    requests = [
        request
        for prompt in prompts
        for request in generate_requests(info, {**body, "prompt": prompt}, seed, choices, streams)
    ]
    return CompletionExchange(info, requests, streams, prompts, echoes, includes_usage, logprobs is not None)


def _prompts(members: Parameters) -> list[str]:
    value = members.take("prompt")
    prompts = [value] if isinstance(value, str) else value
    if not isinstance(prompts, list) or not prompts:
        refuse("prompt must be text, or a list of texts", "prompt", "missing_required_parameter")
    if len(prompts) > CHOICES_MAX:
        refuse(f"prompt has {len(prompts)} entries, at most {CHOICES_MAX} are allowed", "prompt")
    for prompt in prompts:
        if isinstance(prompt, int | list):
            unsupported("prompt", "tokens by number are not taken: give text")
        if not isinstance(prompt, str):
            refuse(f"prompt must be text, or a list of texts, not of {kind(prompt)}", "prompt")
    return prompts


def _choice(index: int, text: str, logprobs: dict[str, Any] | None, finish: str | None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish}


def _head(origin: Origin) -> dict[str, Any]:
    return {
        "id": f"cmpl-{origin.name}",
        "object": "text_completion",
        "created": origin.created_s,
        "model": origin.model.name,
        "system_fingerprint": origin.fingerprint,
    }
