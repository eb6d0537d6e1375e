"""The client of the conformance suite: a server of tools of the kind `mcp`, used as a run uses it.

The suite gives the URL of its server as the last argument, the scenario and the revision by the environment.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from turnwise.tools.kinds import mcp as kind
from turnwise.tools.server import ToolAnswers, ToolQuestions, ToolSamples
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
    while isinstance(told, ToolQuestions | ToolSamples):
        if isinstance(told, ToolSamples):
            said = {"ok": {"text": "an answer", "finish": "end"}, "model": "model"}
            answers: dict[str, Any] = {sample.key: said for sample in told.samples}
        else:
            answers = {question.key: value_of(question.schema) for question in told.questions}
        told = await server.call(spec.name, args, ToolAnswers(answers, told.state))
    print(spec.name, told)


def issuer_of(url: str) -> str | None:
    """The issuer that a server names, as whoever writes a world looks it up before."""
    try:
        urllib.request.urlopen(urllib.request.Request(url, b"{}", {"Content-Type": "application/json"}))
    except urllib.error.HTTPError as refused:
        named = re.search(r'resource_metadata="([^"]+)"', refused.headers.get("WWW-Authenticate", ""))
    else:
        named = None
    parts = urlsplit(url)
    known = f"{parts.scheme}://{parts.netloc}/.well-known/oauth-protected-resource"
    for place in [named[1]] if named else [f"{known}{parts.path}", known]:
        with suppress(OSError, ValueError, LookupError), urllib.request.urlopen(place) as answer:
            return str(json.load(answer)["authorization_servers"][0])
    return None


def signing_in(url: str, scenario: str, context: dict[str, Any]) -> dict[str, Any]:
    """Settings to sign in with, as far as a scenario gives them.

    Where it gives no credentials, somebody's stand for them: the scenario is about where they are sent, and how.
    """
    issuer = context.get("issuer") or issuer_of(url)
    if issuer is None:
        return {}
    oauth = {"issuer": issuer, "client_id": context.get("client_id", "client")}
    if "private_key_pem" in context:
        return {
            "oauth": {**oauth, "private_key": context["private_key_pem"], "algorithm": context["signing_algorithm"]}
        }
    method = "post" if scenario.endswith("-auth-post") else "basic"
    return {"oauth": {**oauth, "client_secret": context.get("client_secret", "secret"), "method": method}}


async def main(url: str) -> None:
    handshake = os.environ.get("MCP_CONFORMANCE_PROTOCOL_VERSION", "") in ("2025-06-18", "2025-11-25")
    context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))
    settings = {"url": url, "revision": "2025-11-25" if handshake else "auto", "sampling": {"models": ["model"]}}
    scenario = os.environ.get("MCP_CONFORMANCE_SCENARIO", "")
    if scenario.startswith("auth/"):
        settings |= signing_in(url, scenario, context)
    server = kind.server(settings, Path())
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
