"""Holds one call auction after another: collects bids and asks, clears them at one price, and tells everybody."""

from turnwise_guest import Turn


def clear(bids: list[float], asks: list[float]) -> tuple[float | None, int]:
    """The price and the number of trades: the best bids meet the best asks for as long as a bid is not below its ask."""
    pairs = [(bid, ask) for bid, ask in zip(sorted(bids, reverse=True), sorted(asks), strict=False) if bid >= ask]
    return (sum(pairs[-1]) / 2 if pairs else None), len(pairs)


def turn(t: Turn) -> None:
    offers = [message.json() for message in t.inbox]
    price = None
    if offers:
        bids = [offer["price"] for offer in offers if offer["side"] == "buy"]
        asks = [offer["price"] for offer in offers if offer["side"] == "sell"]
        price, trades = clear(bids, asks)
        t.state["auctions"] += 1
        t.record("trades", trades)
        if price is not None:
            t.record("price", price)
            t.state["prices"].append(price)
    if t.state["auctions"] == t.args["auctions"]:
        last = t.state["prices"][-10:]
        t.finish({"price": round(sum(last) / len(last), 2), "auctions": t.state["auctions"]})
    else:
        t.send("traders", {"price": price})
