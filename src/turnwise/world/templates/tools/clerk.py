"""Looks up what things cost, and has the bill made.

An agent has no files and no network: whatever it reaches outside, it reaches by tools, and what they said is recorded.
So this run can be played again without them: `turnwise replay`.
"""

from turnwise_guest import EffectError, Turn


def turn(t: Turn) -> None:
    for order in t.inbox:
        lines, missing = [], []
        for item in order.body.split(", "):
            count, thing = item.split()
            try:
                price = t.call("shelf.read", {"path": f"{thing}.txt"})
            except EffectError as error:  # such as: there is no 'melon.txt'
                t.log(f"{thing}: {error}")
                missing.append(thing)
                continue
            lines.append({"count": int(count), "price": float(price.text)})
        t.finish({"bill": t.call("calc.total", {"lines": lines}).data, "missing": missing})
