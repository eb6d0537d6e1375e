"""Opens the market, brings people together, hears how it went, and cries out the day's deals.

Each buyer looks for one thing, and for each there is a seller with whom a price can be found. One of them meets a
seller first who is too dear, and has to walk away and go on to the next. The day is good if all buyers but one, or all,
go home with what they came for. There must be at least one seller more than buyers.
"""

from typing import Any

from speech import read

from turnwise_guest import Message, Turn

GOODS = [
    "lamp", "kettle", "chair", "cart", "coat", "clock", "saddle", "violin",
    "boat", "rug", "mirror", "goat", "axe", "barrel", "bell", "plough",
]  # fmt: skip


def turn(t: Turn) -> None:
    if t.state == {}:
        t.state = {"visits": open_market(t)}
        for meeting in t.state["visits"][:-1]:
            introduce(t, meeting)
        return
    for message in t.inbox:
        hear(t, message)
    if all(meeting["over"] for meeting in t.state["visits"]):
        t.finish(close_market(t, t.state["visits"]))


def open_market(t: Turn) -> list[dict[str, Any]]:
    """Draw who looks for what, whom they visit, and what it is worth to whom. The last visit follows the first."""
    buyers = [message.sender for message in t.inbox if message.body == "buyer"]
    sellers = [message.sender for message in t.inbox if message.body == "seller"]
    t.random.shuffle(buyers)
    t.random.shuffle(sellers)
    goods = t.random.sample(GOODS, len(buyers))
    visits = []
    for buyer, seller, good in zip(buyers, sellers, goods, strict=False):
        least = t.random.randint(20, 55)
        visits.append(visit(buyer, seller, good, most=least + t.random.randint(6, 25), least=least))
    dear = visits[0]
    next_least = dear["most"] - t.random.randint(6, 15)
    dear["least"] = dear["most"] + t.random.randint(4, 12)
    visits.append(visit(dear["buyer"], sellers[-1], dear["good"], most=dear["most"], least=next_least))
    return visits


def visit(buyer: str, seller: str, good: str, *, most: int, least: int) -> dict[str, Any]:
    return {"buyer": buyer, "seller": seller, "good": good, "most": most, "least": least, "told": {}, "over": False}


def introduce(t: Turn, meeting: dict[str, Any]) -> None:
    """Tell both what they want and whom they meet; neither is told the other's limit."""
    t.send(meeting["buyer"], {"with": meeting["seller"], "good": meeting["good"], "limit": meeting["most"]})
    t.send(meeting["seller"], {"with": meeting["buyer"], "good": meeting["good"], "limit": meeting["least"]})


def hear(t: Turn, message: Message) -> None:
    """Take a report; when both have told the same story, the visit is over."""
    told = message.json()
    for meeting in t.state["visits"]:
        pair = {meeting["buyer"], meeting["seller"]}
        if pair == {message.sender, told["with"]}:
            meeting["told"][message.sender] = [told["price"], told["lines"]]
            if len(meeting["told"]) == 2:
                end(t, meeting)


def end(t: Turn, meeting: dict[str, Any]) -> None:
    """Cry out how a visit went. Who walks away from the dear seller goes on to the next."""
    first, *_, following = t.state["visits"]
    meeting["over"], meeting["price"] = True, agreed(meeting)
    buyer, seller, good, price = meeting["buyer"], meeting["seller"], meeting["good"], meeting["price"]
    if price is not None:
        t.log(f"{buyer} buys the {good} of {seller} for {price}")
        t.record(f"price of the {good}", price)
        return
    t.log(f"{buyer} walks away from {seller} without the {good}")
    if meeting is first:
        introduce(t, following)


def agreed(meeting: dict[str, Any]) -> int | None:
    """The price, if both tell the same and what was said bears it out."""
    (price, lines), other = meeting["told"].values()
    if price is None or other != [price, lines] or not meeting["least"] <= price <= meeting["most"]:
        return None
    offer, acceptance = (read(sentence) for _, sentence in lines[-2:])
    if offer is None or acceptance is None or (offer.kind, acceptance.kind) != ("offer", "accept"):
        return None
    return price if offer.price == acceptance.price == price else None


def close_market(t: Turn, visits: list[dict[str, Any]]) -> dict[str, Any]:
    """What the day came to: who bought what of whom, for how much less than the limit, or more."""
    deals = [
        {
            "buyer": meeting["buyer"],
            "seller": meeting["seller"],
            "good": meeting["good"],
            "price": meeting["price"],
            "buyer_gain": meeting["most"] - meeting["price"],
            "seller_gain": meeting["price"] - meeting["least"],
        }
        for meeting in visits
        if meeting.get("price") is not None
    ]
    return {
        "deals": deals,
        "buyers_gain": sum(deal["buyer_gain"] for deal in deals),
        "sellers_gain": sum(deal["seller_gain"] for deal in deals),
        "goal": len(deals) >= len(visits) - 2,
    }
