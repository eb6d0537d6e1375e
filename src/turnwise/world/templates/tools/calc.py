"""Tools: each function is one. Its type hints are its schema, its docstring is what agents and models are told."""

from dataclasses import dataclass


@dataclass
class Line:
    """One line of a bill."""

    count: int
    price: float


def total(lines: list[Line], discount_percent: float = 0) -> float:
    """Add up a bill.

    Args:
        lines: What was bought.
        discount_percent: What is taken off in the end.
    """
    return round(sum(line.count * line.price for line in lines) * (1 - discount_percent / 100), 2)
