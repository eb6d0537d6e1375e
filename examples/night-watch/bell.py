"""Rings in every round, so that one sees who waits for whom: not the bell."""

from turnwise_guest import Turn


def turn(t: Turn) -> None:
    t.log(f"{t.turn} o'clock", level="debug")
    if t.turn < t.args["rings"]:
        t.wake_in(1)
