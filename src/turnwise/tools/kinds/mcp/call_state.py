"""The state of a call at a stateless server that asks people: the server's own, as it came, and its questions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from mcp import types

from turnwise.tools.kinds.mcp.elicitation import question_of, result_of
from turnwise.tools.server import ToolQuestions, ToolResult, ToolUnavailableError

ROUNDS_MAX: Final = 64
"""Times that one call asks, one after the other."""

QUESTIONS_MAX: Final = 16
"""Questions that a call asks at once."""

STATE_CHARS_MAX: Final = 64 * 1024
"""Characters of the state that a server gives to go on with."""


class CallState:
    """State of a call between two requests."""

    def __init__(
        self,
        request_state: str | None = None,
        round_: int = 0,
        requests: Mapping[str, types.InputRequest] | None = None,
    ) -> None:
        """`request_state` is the server's own, `round_` counts the times that it has asked, `requests` is what for."""
        self.request_state = request_state
        self.round = round_
        self.requests = requests or {}

    @staticmethod
    def read(text: str) -> CallState:
        """Read what `asked` wrote. Raises `ToolUnavailableError`."""
        try:
            value = json.loads(text)
            requests = {key: types.ElicitRequest.model_validate(one) for key, one in value["asked"].items()}
            return CallState(value["state"], int(value["round"]), requests)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            said = "the state of the call cannot be read: the server speaks another revision than when it asked"
            raise ToolUnavailableError(said) from error

    @property
    def is_too_large(self) -> bool:
        """True if the server's state has more characters than are kept."""
        return len(self.request_state or "") > STATE_CHARS_MAX

    def asked(self) -> ToolQuestions | ToolResult:
        """Return the questions to people; an error where nobody is asked. Raises `ElicitationError`."""
        if self.is_too_large:
            return ToolResult("the tool gives more state to keep than is kept", is_error=True)
        if self.round >= ROUNDS_MAX:
            return ToolResult(f"the tool has asked {ROUNDS_MAX} times, one after the other", is_error=True)
        if len(self.requests) > QUESTIONS_MAX:
            return ToolResult(f"the tool asks more than {QUESTIONS_MAX} questions at once", is_error=True)
        questions = []
        for key, request in self.requests.items():
            if not isinstance(request, types.ElicitRequest):
                return ToolResult(f"the tool asks for {request.method}, which was not offered to it", is_error=True)
            questions.append(question_of(key, request.params))
        asked = {
            key: request.model_dump(by_alias=True, mode="json", exclude_none=True)
            for key, request in self.requests.items()
        }
        state = {"asked": asked, "round": self.round + 1, "state": self.request_state}
        return ToolQuestions(tuple(questions), json.dumps(state, ensure_ascii=False, separators=(",", ":")))

    def responses(self, answers: Mapping[str, Any]) -> types.InputResponses:
        """Return the answers as the server gets them. Raises `ElicitationError`."""
        return {
            key: result_of(request.params, answers, key)
            for key, request in self.requests.items()
            if isinstance(request, types.ElicitRequest)
        }
