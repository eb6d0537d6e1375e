"""Bids or asks, and learns from each auction: move towards the price after a trade, give way after none.

Never beyond the limit, which nobody else knows. A simple relative of the traders that Cliff (1997) called
"zero-intelligence plus".
"""

from typing import Any

from turnwise_guest import Turn

LEARNING_RATE = 0.5


def target(offer: float, news: dict[str, Any], side: str, urgency: float) -> float:
    """Where this trader would like its next offer to be."""
    accepted = offer >= news["bid"] if side == "buy" else offer <= news["ask"]
    if accepted and news["trades"]:
        return float(news["price"])
    return float(news["price"]) * (1 + urgency if side == "buy" else 1 - urgency)


def turn(t: Turn) -> None:
    side, limit = t.args["side"], t.args["limit"]
    news = t.inbox[-1].json()
    if news is None:
        greed = t.random.uniform(0.05, 0.5)
        offer = limit * (1 - greed if side == "buy" else 1 + greed)
    else:
        offer = t.state["offer"]
        offer += LEARNING_RATE * (target(offer, news, side, t.random.uniform(0.0, 0.3)) - offer)
        offer = min(offer, limit) if side == "buy" else max(offer, limit)
    t.state["offer"] = offer
    t.send("market", {"side": side, "price": round(offer, 4)})
