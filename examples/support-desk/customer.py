"""Writes one letter, and reads the answer."""

from turnwise_guest import Turn


def turn(t: Turn) -> None:
    if t.turn == 1:
        t.send("router", t.args["letter"])
    for message in t.inbox:
        t.log(f"{message.sender} answers: {message.body}")
