"""Thinks of a number and says whether guesses are too low or too high.

Turnwise calls `turn` once in every round in which this agent has mail. Each turn runs in a fresh sandbox, without
files, network or clock: nothing is left of it but t.state and what it sends, logs and records.
"""

from turnwise_guest import Turn


def turn(t: Turn) -> None:
    for message in t.inbox:
        if message.body == "begin":
            highest = t.args["highest"]
            # t.random is seeded by the run's seed, so that the same run can be played again.
            t.state["number"] = t.random.randint(1, highest)
            t.log(f"My number is {t.state['number']}.")
            t.send("guesser", {"low": 1, "high": highest})  # arrives in the next round
        else:
            t.send(message.sender, verdict(int(message.body), t.state["number"]))


def verdict(guess: int, number: int) -> str:
    if guess == number:
        return "right"
    return "too low" if guess < number else "too high"
