"""People, moods and goods: what the conversations are about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

NAMES: Final = (
    "Ada", "Ben", "Cora", "Dan", "Edda", "Finn", "Greta", "Hugo", "Ida", "Jon", "Kira", "Leo", "Mara", "Nils", "Olga",
    "Paul", "Rosa", "Sven", "Tilda", "Udo", "Vera", "Will", "Anna", "Carl", "Emma", "Fred", "Lena", "Max", "Nora",
    "Otto",
)  # fmt: skip

MOODS: Final = ("friendly", "gruff", "hurried", "shy", "stubborn")


@dataclass(frozen=True, slots=True)
class Good:
    """A thing that is sold. `praises` and `faults` are whole clauses, without a capital or a full stop."""

    name: str
    praises: tuple[str, ...]
    faults: tuple[str, ...]


def _good(name: str, praises: str, faults: str) -> Good:
    return Good(name, tuple(praises.split("; ")), tuple(faults.split("; ")))


GOODS: Final = (
    _good(
        "lamp",
        "it burns all night; the glass is clear; it lights a whole room; the brass shines like gold",
        "the glass has a crack; it smells of old oil; the handle is loose; the brass is dull",
    ),
    _good(
        "kettle",
        "it boils in no time; the copper is thick; it never leaks; it whistles like a bird",
        "the lid does not fit; there is a dent in it; the bottom is black; the handle gets hot",
    ),
    _good(
        "chair",
        "it is solid oak; nothing creaks; my father made it; the seat is soft",
        "one leg is short; the seat is worn; it creaks; the paint is coming off",
    ),
    _good(
        "cart",
        "the wheels are new; it carries a heavy load; the axle is iron; it runs straight",
        "one wheel wobbles; the boards are thin; the axle squeaks; it pulls to the left",
    ),
    _good(
        "coat",
        "it is pure wool; it keeps out the rain; the lining is silk; all the buttons are there",
        "there is a hole in the sleeve; a button is missing; the moths were in it; it smells of smoke",
    ),
    _good(
        "clock",
        "it never loses a minute; it strikes the hours; the case is walnut; it runs for eight days",
        "it is always late; the glass is missing; it ticks too loudly; the hands are bent",
    ),
    _good(
        "saddle",
        "the leather is soft; the stitching is strong; it fits any horse; it was hardly used",
        "the strap is torn; the leather is dry; the stitching is loose; it is made for a pony",
    ),
    _good(
        "violin",
        "it sings; the wood is old and fine; a master made it; the strings are new",
        "a string is missing; the neck is bent; the varnish is gone; it sounds like a cat",
    ),
    _good(
        "boat",
        "it is dry inside; the oars come with it; it glides like a swan; the planks are sound",
        "it leaks; an oar is broken; the planks are soft; it needs new paint",
    ),
    _good(
        "rug",
        "the colours are bright; it is knotted by hand; it is warm under the feet; it will last for years",
        "the colours are faded; the edge is torn; there is a stain on it; the dog slept on it",
    ),
    _good(
        "mirror",
        "the frame is carved; it has no scratch; the silver is new; it makes a room bigger",
        "there is a scratch in it; the frame is chipped; I look pale in it; the silver is gone at the edge",
    ),
    _good(
        "goat",
        "she gives milk twice a day; she is young and healthy; she eats anything; she is as gentle as a lamb",
        "she is thin; she limps; she is not young; she tried to eat my hat",
    ),
    _good(
        "axe",
        "the blade is sharp; the steel is good; the handle is ash wood; it splits any log",
        "the blade is blunt; there is rust on it; the handle is split; the head is loose",
    ),
    _good(
        "barrel",
        "it holds water and wine; the hoops are tight; it is fresh oak; it does not lose a drop",
        "a hoop is loose; it smells of fish; one board is rotten; it drips",
    ),
    _good(
        "bell",
        "you can hear it for a mile; the tone is clear; it is cast bronze; it came from a ship",
        "the tone is flat; it is green all over; the clapper is missing; there is a crack in the rim",
    ),
    _good(
        "plough",
        "the iron is new; it cuts deep; one ox can pull it; it never sticks",
        "the iron is worn; a bolt is missing; the beam is cracked; it needs two oxen",
    ),
)


def a(noun: str) -> str:
    """The noun with its article: `a lamp`, `an axe`."""
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
