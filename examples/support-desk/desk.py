"""Tools of the desk: an order, a share of a price, and a payment, which cannot be taken back."""

from pathlib import Path

PAID = Path(__file__).with_name("paid.txt")
ORDERS = {
    "A-17": {"item": "lamp", "price": 40.0, "days_ago": 10},
    "A-23": {"item": "table", "price": 180.0, "days_ago": 30},
}


def order(number: str) -> dict:
    """Look up an order by its number: item, price in euros, and how many days ago it was bought."""
    if number not in ORDERS:
        raise ValueError(f"there is no order {number}")
    return ORDERS[number]


def share(price: float, percent: float) -> float:
    """Compute a share of a price."""
    return round(price * percent / 100, 2)


def pay_back(order: str, amount: float) -> str:
    """Pay an amount in euros back to whoever placed an order."""
    with PAID.open("a", encoding="utf-8") as file:
        file.write(f"{order} {amount:.2f}\n")
    return f"{amount:.2f} are on their way"
