"""Errors that an agent may catch."""

from __future__ import annotations

from typing import Literal

EffectErrorKind = Literal[
    "denied", "context_full", "unknown", "refused", "unavailable", "deadline", "unknown_tool", "invalid", "tool"
]
"""Reason why an effect was not carried out:

- ``denied``: the agent's grants in the world file do not allow it, or a person has not approved it;
- ``context_full``: the prompt and `tokens_max` do not fit into the model's context;
- ``unknown``: there is no such model, or the runtime does not know this effect; of a call: the run, or the tool's
  server, was interrupted during it, and nobody knows whether it took effect;
- ``refused``: the request makes no sense to the model (its text cannot be encoded, its messages have no template);
- ``unavailable``: what should have answered is not there;
- ``deadline``: nobody has answered a question in time, and it has no default;
- ``unknown_tool``: there is no such tool;
- ``invalid``: arguments do not follow the schema of the tool, which was not called;
- ``tool``: the tool says that it failed, or its result cannot be used.
"""


class EffectError(Exception):
    """An effect was not carried out. It is a result like any other: the same in every execution of the run.

    `kind` is one of `EffectErrorKind`, `message` says what was wrong and what to do. Uncaught, it fails the turn.
    """

    def __init__(self, kind: EffectErrorKind, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind: EffectErrorKind = kind
        self.message = message

    def __reduce__(self) -> tuple[type[EffectError], tuple[EffectErrorKind, str]]:
        return (type(self), (self.kind, self.message))
