"""Errors in the form of the API."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from turnwise.inference.requests.refusal import ErrorKind

_TOO_LONG: Final = re.compile(r"the prompt has (\d+) tokens, the model's context (\d+): shorten the prompt$")


@dataclass(eq=False)  # not frozen: Python writes to exceptions that are raised
class ApiError(Exception):
    """A request that is answered with an error.

    - `status`: of HTTP
    - `message`: what is wrong, and what to do
    - `param`: the member of the request that it is about
    - `code`: a name for programs
    - `kind`: `type` in the API's form
    - `headers`: of the response
    """

    status: int
    message: str
    param: str | None = None
    code: str | None = None
    kind: str = "invalid_request_error"
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """Return the object that the API answers with."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}


def refuse(message: str, param: str | None = None, code: str | None = None) -> NoReturn:
    """Raise the error of a request that is wrong."""
    raise ApiError(400, message, param, code)


def unsupported(param: str, why: str) -> NoReturn:
    """Raise the error of a parameter that cannot be obeyed, and is not ignored."""
    raise ApiError(400, f"{param} is not supported: {why}", param, "unsupported_parameter")


def of_engine(kind: ErrorKind, message: str) -> ApiError:
    """Make the error for a request that the engine has refused."""
    if kind == "context_full":
        found = _TOO_LONG.match(message)
        if found is not None:
            over = int(found[1]) + 1 - int(found[2])
            message = f"{message} by at least {over} tokens"
        return ApiError(400, message.replace("tokens_max", "max_tokens"), "messages", "context_length_exceeded")
    if kind == "unavailable":
        return ApiError(503, message, code="unavailable", kind="server_error")
    return ApiError(400, message)
