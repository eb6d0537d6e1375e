"""Answers every ping."""

from turnwise_guest import Turn


def turn(t: Turn) -> None:
    for message in t.inbox:
        t.send(message.sender, message.body.replace("ping", "pong"))
