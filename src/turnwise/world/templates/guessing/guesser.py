"""Finds the number by halving the range in which it can be."""

from turnwise_guest import Turn


def turn(t: Turn) -> None:
    for message in t.inbox:
        match message.body:
            case "right":
                t.log(f"Found {t.state['guess']} with {t.state['guesses']} guesses.")
                t.finish({"number": t.state["guess"], "guesses": t.state["guesses"]})  # the result of the whole run
                return
            case "too low":
                t.state["low"] = t.state["guess"] + 1
            case "too high":
                t.state["high"] = t.state["guess"] - 1
            case _:
                t.state |= message.json()  # the range to begin with

        t.state["guess"] = (t.state["low"] + t.state["high"]) // 2
        t.state["guesses"] += 1
        t.record("guess", t.state["guess"])  # a value for this round, for tables and plots
        t.send("keeper", str(t.state["guess"]))
