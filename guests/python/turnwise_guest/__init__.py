"""Write agents for Turnwise in Python.

An agent is a file with a function ``turn``::

    from turnwise_guest import Turn

    def turn(t: Turn) -> None:
        for message in t.inbox:
            t.send(message.sender, f"You said: {message.body}")

`Turn` is all that an agent can do. The other names are what it takes and gives.
"""

from turnwise_guest._version import __version__
from turnwise_guest.act import Acted, ActEnd, ActStep, ToolCall
from turnwise_guest.content import Handle, StoredTensor
from turnwise_guest.errors import EffectError, EffectErrorKind
from turnwise_guest.generate import (
    ActOptions,
    Alternative,
    Answer,
    Call,
    ChatMessage,
    FinishReason,
    Options,
    TokenLogprob,
)
from turnwise_guest.jsontext import NotJSON
from turnwise_guest.message import Message
from turnwise_guest.model_tool import ModelTool
from turnwise_guest.python_result import PythonResult, RunFailure
from turnwise_guest.tensor import DType, Tensor
from turnwise_guest.tool import Tool, ToolResult
from turnwise_guest.turn import LogLevel, Turn

__all__ = [
    "ActEnd",
    "ActOptions",
    "ActStep",
    "Acted",
    "Alternative",
    "Answer",
    "Call",
    "ChatMessage",
    "DType",
    "EffectError",
    "EffectErrorKind",
    "FinishReason",
    "Handle",
    "LogLevel",
    "Message",
    "ModelTool",
    "NotJSON",
    "Options",
    "PythonResult",
    "RunFailure",
    "StoredTensor",
    "Tensor",
    "TokenLogprob",
    "Tool",
    "ToolCall",
    "ToolResult",
    "Turn",
    "__version__",
]

# As authors know them, and as tracebacks should show them.
for _error in (EffectError, NotJSON):
    _error.__module__ = __name__
del _error
