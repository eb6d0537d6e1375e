"""A server of the official SDK that asks models: `python author.py FILE` notes in the file which tools it has run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from mcp.server.elicitation import AcceptedElicitation, ElicitationResult
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.resolve import Elicit, Resolve, Sample
from mcp.server.request_state import RequestStateSecurity
from mcp.types import CreateMessageResult, ModelHint, ModelPreferences, SamplingMessage, TextContent
from pydantic import BaseModel


class Sure(BaseModel):
    sure: bool


def said(text: str) -> list[SamplingMessage]:
    return [SamplingMessage(role="user", content=TextContent(type="text", text=text))]


def text_of(result: CreateMessageResult) -> str:
    assert isinstance(result.content, TextContent)
    return f"{result.model}: {result.content.text} ({result.stop_reason})"


def opening(what: str) -> Sample:
    return Sample(said(f"The {what} was"), max_tokens=5, system_prompt="A story.", temperature=0)


def other(what: str) -> Sample:
    hints = ModelPreferences(hints=[ModelHint(name="nobody"), ModelHint(name="SECOND")])
    return Sample(said(f"Once, a {what}"), max_tokens=4, model_preferences=hints)


def ending(begun: Annotated[CreateMessageResult, Resolve(opening)]) -> Sample:
    return Sample(said(text_of(begun)), max_tokens=3)


def sure(begun: Annotated[CreateMessageResult, Resolve(opening)]) -> Elicit[Sure]:
    return Elicit(f"Go on after this? {text_of(begun)}", Sure)


def without_end() -> Sample:
    return Sample(said("x" * 300_000), max_tokens=10**9)


def make_server(note: Path) -> MCPServer:
    """Make it; `note` is a file in which each tool that is run is noted."""
    server = MCPServer("author", log_level="CRITICAL", request_state_security=RequestStateSecurity(keys=["k" * 32]))

    def ran(name: str) -> None:
        with note.open("a") as file:
            file.write(name + "\n")

    @server.tool()
    def open_(what: str, begun: Annotated[CreateMessageResult, Resolve(opening)]) -> str:
        """Begin a story."""
        ran("open")
        return text_of(begun)

    @server.tool()
    def both(
        what: str,
        one: Annotated[CreateMessageResult, Resolve(opening)],
        two: Annotated[CreateMessageResult, Resolve(other)],
    ) -> str:
        """Begin two stories."""
        ran("both")
        return f"{text_of(one)} / {text_of(two)}"

    @server.tool()
    def whole(what: str, end: Annotated[CreateMessageResult, Resolve(ending)]) -> str:
        """Begin a story, and end it."""
        ran("whole")
        return text_of(end)

    @server.tool()
    def asked(
        what: str,
        begun: Annotated[CreateMessageResult, Resolve(opening)],
        answer: Annotated[ElicitationResult[Any], Resolve(sure)],
        end: Annotated[CreateMessageResult, Resolve(ending)],
    ) -> str:
        """Begin a story, and end it if a person is sure."""
        ran("asked")
        return text_of(end) if isinstance(answer, AcceptedElicitation) else text_of(begun)

    @server.tool()
    def huge(text: Annotated[CreateMessageResult, Resolve(without_end)]) -> str:
        """Ask a model more than can be asked."""
        ran("huge")
        return text_of(text)

    return server


if __name__ == "__main__":
    make_server(Path(sys.argv[1])).run()
    sys.exit(0)
