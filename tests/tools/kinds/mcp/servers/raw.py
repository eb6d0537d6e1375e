"""A server of the handshake era in the standard library alone, which behaves as its argument says."""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from typing import Any

TOOL = {"name": "echo", "description": "Say it again.", "inputSchema": {"type": "object"}}


SAMPLE = {"messages": [{"role": "user", "content": {"type": "text", "text": "More?"}}], "maxTokens": 5}


LISTS = itertools.count(1)


def send(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def listed(mode: str, params: dict[str, Any]) -> dict[str, Any]:
    if mode == "pages without end":
        return {"tools": [], "nextCursor": str(int(params.get("cursor", "0")) + 1)}
    if mode == "two pages":
        page = int(params.get("cursor", "0"))
        tools = [{**TOOL, "name": f"echo{page}"}]
        return {"tools": tools} if page else {"tools": tools, "nextCursor": "1"}
    if mode == "huge list":
        return {"tools": [{**TOOL, "name": f"echo{number}"} for number in range(5000)]}
    if mode == "same name twice":
        return {"tools": [{**TOOL, "name": "one"}, {**TOOL, "name": "two"}, {**TOOL, "name": "one"}]}
    if mode == "other words":
        return {"tools": [{**TOOL, "description": f"Words of list {next(LISTS)}."}]}
    if mode == "names of others":
        return {"tools": [TOOL, {**TOOL, "name": "a b"}, {**TOOL, "name": "other.tool"}, {**TOOL, "name": ""}]}
    if mode == "no list":
        return {"tools": 5}
    return {"tools": [TOOL]}


def called(mode: str, id_: Any, params: dict[str, Any]) -> None:
    match mode:
        case "die":
            os._exit(3)
        case "endless line":
            while True:
                sys.stdout.write("x" * 65536)
        case "endless messages":
            while True:
                send({"method": "notifications/message", "params": {"level": "info", "data": "x" * 60000}})
        case "garbage":
            while True:
                sys.stdout.write("this is no message\n")
        case "other words":
            send({"method": "notifications/tools/list_changed"})
        case "some garbage":
            sys.stdout.write("a greeting\n\n{}\n[]\nnull\n")
        case "questions without end":
            for number in itertools.count():
                schema = {"type": "object", "properties": {"a": {"type": "string"}}}
                asked = {"message": f"Question {number}?", "requestedSchema": schema}
                send({"id": f"q{number}", "method": "elicitation/create", "params": asked})
                reply = json.loads(sys.stdin.readline())
                if "error" in reply:
                    text = [{"type": "text", "text": f"stopped at {number}: {reply['error']['message']}"}]
                    send({"id": id_, "result": {"content": text}})
                    return
        case "samples without end":
            for number in itertools.count():
                send({"id": f"s{number}", "method": "sampling/createMessage", "params": SAMPLE})
                reply = json.loads(sys.stdin.readline())
                if "error" in reply:
                    text = [{"type": "text", "text": f"stopped at {number}: {reply['error']['message']}"}]
                    send({"id": id_, "result": {"content": text}})
                    return
        case "samples for ever":
            for number in itertools.count():
                send({"id": f"s{number}", "method": "sampling/createMessage", "params": SAMPLE})
                sys.stdin.readline()
        case "form of its own":
            asked = {"message": "Which?", "requestedSchema": {"type": "object", "properties": {"a": {"type": ["x"]}}}}
            send({"id": "q", "method": "elicitation/create", "params": asked})
            reply = json.loads(sys.stdin.readline())
            text = [{"type": "text", "text": reply["error"]["message"]}]
            send({"id": id_, "result": {"content": text}})
            return
        case "stubborn":
            while True:
                time.sleep(60)
    text = [{"type": "text", "text": json.dumps(params["arguments"])}]
    send({"id": id_, "result": {"content": text}})


def main(mode: str) -> None:
    if mode == "asks outside":
        asked = {"message": "Who are you?", "requestedSchema": {"type": "object", "properties": {}}}
        send({"id": "early", "method": "elicitation/create", "params": asked})
    if mode == "samples outside":
        send({"id": "early", "method": "sampling/createMessage", "params": SAMPLE})
    for line in sys.stdin:
        message = json.loads(line)
        id_, params = message.get("id"), message.get("params", {})
        match message.get("method"):
            case "initialize":
                info = {"name": "raw", "version": "1"}
                capabilities = {"tools": {}}
                result = {"protocolVersion": "2025-06-18", "capabilities": capabilities, "serverInfo": info}
                send({"id": id_, "result": result})
            case "tools/list":
                send({"id": id_, "result": listed(mode, params)})
            case "tools/call":
                called(mode, id_, params)
            case _ if id_ is not None and "method" in message:
                send({"id": id_, "error": {"code": -32601, "message": "Method not found"}})


if __name__ == "__main__":
    main(sys.argv[1])
