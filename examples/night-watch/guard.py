"""Asks a person about everybody who comes to the gate, and tells them what was said."""

from turnwise_guest import Turn

ANSWER = {
    "type": "object",
    "properties": {"open": {"type": "boolean"}, "say": {"type": "string", "maxLength": 80}},
    "required": ["open"],
    "additionalProperties": False,
}


def turn(t: Turn) -> None:
    seen = t.state.setdefault("let_in", [])
    for message in t.inbox:
        pleas = t.state.setdefault("pleas", {})
        pleas[message.sender] = pleas.get(message.sender, 0) + 1
        question = f"{message.sender} (plea {pleas[message.sender]}): {message.body}\nIs the gate opened?"
        answer = t.ask(question, schema=ANSWER, deadline=20, default={"open": False, "say": "Come back by day."})
        if answer["open"]:
            seen.append(message.sender)
        t.send(message.sender, {"open": answer["open"], "say": answer.get("say", "")})
        t.state["left"] = t.state.get("left", 2) - (answer["open"] or pleas[message.sender] > 2)
    if t.inbox and t.state["left"] <= 0:
        t.finish({"let_in": sorted(seen)})
