"""Holds one call auction after another: collects bids and asks, clears them at one price, and tells everybody."""

from turnwise_guest import Turn


def clear(bids: list[float], asks: list[float]) -> dict[str, float]:
    """Match the best bids with the best asks while a bid is not below its ask; the last pair makes the price."""
    bids, asks = sorted(bids, reverse=True), sorted(asks)
    trades = sum(bid >= ask for bid, ask in zip(bids, asks, strict=False))
    last = max(trades, 1) - 1  # without a trade, the best offers say where one might have been
    return {"price": (bids[last] + asks[last]) / 2, "trades": trades, "bid": bids[last], "ask": asks[last]}


def turn(t: Turn) -> None:
    offers = [message.json() for message in t.inbox]
    if not offers:
        t.send("traders", None)  # the first auction: nothing is known yet
        return
    bids = [offer["price"] for offer in offers if offer["side"] == "buy"]
    asks = [offer["price"] for offer in offers if offer["side"] == "sell"]
    news = clear(bids, asks)
    t.record("price", news["price"])
    t.record("trades", news["trades"])
    t.state["prices"].append(news["price"])
    if len(t.state["prices"]) == t.args["auctions"]:
        last = t.state["prices"][-10:]
        t.finish({"price": round(sum(last) / len(last), 2), "auctions": t.args["auctions"]})
    else:
        t.send("traders", news)
