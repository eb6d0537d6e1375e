"""Bids or asks, and learns from each price: bargain harder after a trade, give way (down to the limit) after none.

A simple relative of the traders that Cliff (1997) called "zero-intelligence plus".
"""

from turnwise_guest import Turn

LEARNING_RATE = 0.3


def turn(t: Turn) -> None:
    limit, sign = t.args["limit"], 1 if t.args["side"] == "buy" else -1
    offer = t.state.get("offer", limit - sign * limit * t.random.uniform(0.05, 0.5))
    price = t.inbox[-1].json()["price"]
    if price is not None:
        traded = sign * (offer - price) >= 0
        step = sign * price * t.random.uniform(0.0, 0.02)
        target = price - step if traded else price + step
        offer += LEARNING_RATE * (target - offer)
        offer = min(offer, limit) if sign > 0 else max(offer, limit)
    t.state["offer"] = offer
    t.send("market", {"side": t.args["side"], "price": round(offer, 4)})
