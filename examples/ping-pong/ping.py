"""Serves, and plays back until enough has been played."""

from turnwise_guest import Turn


def turn(t: Turn) -> None:
    for message in t.inbox:
        t.log(f"{message.sender} says {message.body!r}")
        t.state["hits"] += 1
    if t.state["hits"] == t.args["exchanges"]:
        t.finish(f"{t.state['hits']} exchanges")
    else:
        t.send("pong", f"ping {t.state['hits'] + 1}")
