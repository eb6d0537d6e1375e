"""The state of a call at a stateless server that asks people or models: the server's own, as it came, and what it asks.

Models are asked first, and people then, without the server: it is called again when it has all that it wants.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from mcp import types

from turnwise.tools.kinds.mcp import elicitation, sampling
from turnwise.tools.kinds.mcp.elicitation import question_of
from turnwise.tools.kinds.mcp.sampling import sample_of
from turnwise.tools.server import ToolQuestions, ToolResult, ToolSamples, ToolUnavailableError

ROUNDS_MAX: Final = 64
"""Times that one call asks, one after the other."""

QUESTIONS_MAX: Final = 16
"""Questions and requests to models that a call asks at once."""

STATE_CHARS_MAX: Final = 64 * 1024
"""Characters of the state that a server gives to go on with."""

Sampled = Mapping[str, types.CreateMessageResult | None]
"""Answers of models by the names of their requests; None for one that there is none to yet."""


class CallState:
    """State of a call between two requests."""

    def __init__(
        self,
        request_state: str | None = None,
        round_: int = 0,
        requests: Mapping[str, types.InputRequest] | None = None,
        sampled: Sampled | None = None,
    ) -> None:
        """`request_state` is the server's own, `round_` counts the times that it has asked, `requests` is what for.

        `sampled` is what models have answered: those requests are not among the others any more.
        """
        self.request_state = request_state
        self.round = round_
        self.requests = requests or {}
        self.sampled = sampled or {}

    @staticmethod
    def read(text: str) -> CallState:
        """Read what `asked` wrote. Raises `ToolUnavailableError`."""
        try:
            value = json.loads(text)
            requests = {key: types.ElicitRequest.model_validate(one) for key, one in value["asked"].items()}
            sampled = {
                key: None if one is None else types.CreateMessageResult.model_validate(one)
                for key, one in value["sampled"].items()
            }
            return CallState(value["state"], int(value["round"]), requests, sampled)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            said = "the state of the call cannot be read: the server speaks another revision than when it asked"
            raise ToolUnavailableError(said) from error

    @property
    def is_too_large(self) -> bool:
        """True if the server's state has more characters than are kept."""
        return len(self.request_state or "") > STATE_CHARS_MAX

    def asked(self, *, may_sample: bool = False) -> ToolQuestions | ToolSamples | ToolResult:
        """Return the requests to models, or the questions to people; an error where neither are asked.

        Raises `ElicitationError`, `SamplingError`.
        """
        if self.is_too_large:
            return ToolResult("the tool gives more state to keep than is kept", is_error=True)
        if self.round >= ROUNDS_MAX:
            return ToolResult(f"the tool has asked {ROUNDS_MAX} times, one after the other", is_error=True)
        if len(self.requests) > QUESTIONS_MAX:
            return ToolResult(f"the tool asks more than {QUESTIONS_MAX} questions at once", is_error=True)
        samples, questions, people = [], [], {}
        for key, request in self.requests.items():
            if isinstance(request, types.CreateMessageRequest) and may_sample:
                samples.append(sample_of(key, request.params))
            elif isinstance(request, types.ElicitRequest):
                questions.append(question_of(key, request.params))
                people[key] = request
            else:
                return ToolResult(f"the tool asks for {request.method}, which was not offered to it", is_error=True)
        text = self._text(people, dict.fromkeys([sample.key for sample in samples]), self.round + 1)
        return ToolSamples(tuple(samples), text) if samples else ToolQuestions(tuple(questions), text)

    def answered(self, answers: Mapping[str, Any]) -> ToolQuestions | types.InputResponses:
        """Return what the server gets, or the questions to people that are left when models have answered.

        Raises `ElicitationError`, `SamplingError`.
        """
        sampled = {
            key: sampling.result_of(answers, key) if result is None else result for key, result in self.sampled.items()
        }
        people = {key: request for key, request in self.requests.items() if isinstance(request, types.ElicitRequest)}
        if people and None in self.sampled.values():
            questions = [question_of(key, request.params) for key, request in people.items()]
            return ToolQuestions(tuple(questions), self._text(people, sampled, self.round))
        return {
            **{key: elicitation.result_of(request.params, answers, key) for key, request in people.items()},
            **sampled,
        }

    def _text(self, people: Mapping[str, types.ElicitRequest], sampled: Sampled, round_: int) -> str:
        """Return the state as text, which `read` reads."""
        value = {
            "asked": {key: _dumped(request) for key, request in people.items()},
            "round": round_,
            "sampled": {key: None if result is None else _dumped(result) for key, result in sampled.items()},
            "state": self.request_state,
        }
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _dumped(part: types.ElicitRequest | types.CreateMessageResult) -> dict[str, Any]:
    return part.model_dump(by_alias=True, mode="json", exclude_none=True)
