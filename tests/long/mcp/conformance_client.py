"""The client of the conformance suite: a server of tools of the kind `mcp`, used as a run uses it.

The suite gives the URL of its server as the last argument, the scenario and the revision by the environment.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from turnwise.tools.kinds import mcp as kind
from turnwise.tools.server import ToolAnswers, ToolQuestions
from turnwise.tools.spec import ToolSpec


def value_of(schema: Any) -> Any:
    """A value that follows a schema, as far as servers of the suite ask for it."""
    if not isinstance(schema, dict):
        return "text"
    if "anyOf" in schema:
        return value_of(schema["anyOf"][0])
    if "default" in schema:
        return schema["default"]
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            fields = schema.get("properties", {})
            wanted = schema.get("required", fields)
            return {name: value_of(fields.get(name)) for name in fields if name in wanted}
        case "boolean":
            return True
        case "integer" | "number":
            return schema.get("minimum", 5)
        case "array":
            return []
    return "text"


async def use(server: Any, spec: ToolSpec, args: dict[str, Any]) -> None:
    """Call a tool, and answer what it asks."""
    told = await server.call(spec.name, args)
    while isinstance(told, ToolQuestions):
        answers = {question.key: value_of(question.schema) for question in told.questions}
        told = await server.call(spec.name, args, ToolAnswers(answers, told.state))
    print(spec.name, told)


async def main(url: str) -> None:
    handshake = os.environ.get("MCP_CONFORMANCE_PROTOCOL_VERSION", "") in ("2025-06-18", "2025-11-25")
    context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))
    server = kind.server({"url": url, "revision": "2025-11-25" if handshake else "auto"}, Path())
    await server.start()
    try:
        specs = {spec.name: spec for spec in await server.tools()}
        calls = [(call["name"], call.get("arguments", {})) for call in context.get("toolCalls", [])]
        for name, args in calls or [(name, value_of(spec.input_schema)) for name, spec in specs.items()]:
            if name == "json_schema_echo":
                args["schema"] = specs["json_schema_2020_12_tool"].input_schema
            if name in specs:
                await use(server, specs[name], args)
    finally:
        await server.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[-1]))
