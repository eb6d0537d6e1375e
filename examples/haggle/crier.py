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
    "boat", "rug", "mirror", "goat", "barrel", "bell", "plough",
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
    t.log(story(meeting))
    if meeting["price"] is not None:
        t.record(f"price of the {meeting['good']}", meeting["price"])
    elif meeting is first:
        introduce(t, following)


def story(meeting: dict[str, Any]) -> str:
    """A visit for those who look on: what neither knew of the other, what was said, and what came of it."""
    buyer, seller, good, price = meeting["buyer"], meeting["seller"], meeting["good"], meeting["price"]
    columns = max(len(buyer), len(seller)) + 2
    _, lines = meeting["told"][buyer]
    if price is None:
        who, sentence = lines[-1]
        outcome = f"NO DEAL: {who} walks away" if read(sentence) else f"NO DEAL: words fail {who}"
    else:
        saved, gained = meeting["most"] - price, price - meeting["least"]
        outcome = f"SOLD for {price}: {buyer} saves {saved}, {seller} makes {gained}"
    return "\n".join(
        [
            f"{buyer} wants the {good} of {seller}: {buyer} has {meeting['most']}, {seller} needs {meeting['least']}",
            *[f"  {who:<{columns}}{sentence}" for who, sentence in lines],
            f"  {'':<{columns}}-> {outcome}",
        ]
    )


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
    t.log(farewell(visits, deals))
    return {
        "goal": len(deals) >= len(visits) - 2,
        "deals": deals,
        "buyers_gain": sum(deal["buyer_gain"] for deal in deals),
        "sellers_gain": sum(deal["seller_gain"] for deal in deals),
    }


def farewell(visits: list[dict[str, Any]], deals: list[dict[str, Any]]) -> str:
    """The crier's last words."""
    wishes = {meeting["buyer"]: meeting["good"] for meeting in visits}
    lines = [f"The market closes: {len(deals)} of {len(wishes)} buyers go home with what they came for"]
    if deals:
        bargain = max(deals, key=lambda deal: deal["buyer_gain"])
        sale = max(deals, key=lambda deal: deal["seller_gain"])
        most, least = bargain["price"] + bargain["buyer_gain"], sale["price"] - sale["seller_gain"]
        buyer, good, price = bargain["buyer"], bargain["good"], bargain["price"]
        lines.append(f"  the best bargain is {buyer}'s: had {most} to spend, and got the {good} for {price}")
        seller, good, price = sale["seller"], sale["good"], sale["price"]
        lines.append(f"  the best sale is {seller}'s: would have taken {least} for the {good}, and got {price}")
    happy = {deal["buyer"] for deal in deals}
    lines += [f"  {name} goes home without the {good}" for name, good in wishes.items() if name not in happy]
    return "\n".join(lines)
