"""Plays one strategy against every other player at the same time: a move a round, as a message to each.

A player knows of each opponent what both have played so far, and nothing else. Its state has both histories as texts
of C (cooperate) and D (defect).
"""

# ruff: noqa: ARG001, ARG005 - all strategies are called alike

from collections.abc import Callable

from turnwise_guest import Turn

POINTS = {"CC": 3, "CD": 0, "DC": 5, "DD": 1}

Chance = Callable[[], float]
Strategy = Callable[[str, str, Chance], str]
"""The next move, given one's own moves, the opponent's, and a source of chance in [0, 1)."""


def defects_if(condition: bool) -> str:
    return "D" if condition else "C"


def grudger(mine: str, theirs: str, chance: Chance) -> str:
    return defects_if("D" in theirs)


def tit_for_tat(mine: str, theirs: str, chance: Chance) -> str:
    return theirs[-1:] or "C"


def soft_grudger(mine: str, theirs: str, chance: Chance) -> str:
    """After a defection four in return, and two steps of peace."""
    since = len(theirs) - theirs.find("D") if "D" in theirs else 0
    return defects_if(0 < since % 7 <= 4)


def pavlov(mine: str, theirs: str, chance: Chance) -> str:
    """Stay with what has won, change what has lost."""
    return "C" if not mine or mine[-1] == theirs[-1] else "D"


def gradual(mine: str, theirs: str, chance: Chance) -> str:
    """As many defections in return as there were in all, then two moves of peace."""
    owed, peace = 0, 0
    for count, move in enumerate(theirs):
        if owed:
            owed, peace = owed - 1, 2 if owed == 1 else peace
        elif peace:
            peace -= 1
        elif move == "D":
            owed = theirs[: count + 1].count("D")
    return defects_if(owed > 0)


def prober(mine: str, theirs: str, chance: Chance) -> str:
    """Try whether the opponent minds."""
    opening = "DCC"
    if len(mine) < len(opening):
        return opening[len(mine)]
    return "D" if theirs[1:3] == "CC" else tit_for_tat(mine, theirs, chance)


def forgiving(share: float) -> Strategy:
    """Tit for tat that lets a share of defections pass."""
    return lambda mine, theirs, chance: defects_if(theirs[-1:] == "D" and chance() >= share)


def joss(share: float) -> Strategy:
    """Tit for tat that defects now and then."""
    return lambda mine, theirs, chance: defects_if(theirs[-1:] == "D" or chance() < share)


def patient(defections: int) -> Strategy:
    """Defect after so many defections in a row."""
    return lambda mine, theirs, chance: defects_if(theirs.endswith("D" * defections))


def remembering(moves: int) -> Strategy:
    """Defect after a defection among the last moves."""
    return lambda mine, theirs, chance: defects_if("D" in theirs[-moves:])


def periodic(pattern: str) -> Strategy:
    return lambda mine, theirs, chance: pattern[len(mine) % len(pattern)]


def majority(tie: str) -> Strategy:
    def move(mine: str, theirs: str, chance: Chance) -> str:
        defections = theirs.count("D")
        kept = len(theirs) - defections
        return tie if kept == defections else defects_if(defections > kept)

    return move


def chance_of(share: float) -> Strategy:
    return lambda mine, theirs, chance: defects_if(chance() < share)


def suspicious(strategy: Strategy) -> Strategy:
    """Any strategy with a defection before it."""
    return lambda mine, theirs, chance: strategy(mine, theirs, chance) if mine else "D"


def contrite(mine: str, theirs: str, chance: Chance) -> str:
    """Tit for tat that accepts what its own defection has brought."""
    return defects_if(theirs[-1:] == "D" and mine[-2:-1] != "D")


def bully(mine: str, theirs: str, chance: Chance) -> str:
    return defects_if(theirs[-1:] != "D")


STRATEGIES: dict[str, Strategy] = {
    "always cooperate": periodic("C"),
    "always defect": periodic("D"),
    "alternate": periodic("CD"),
    "alternate, defection first": periodic("DC"),
    "two of three": periodic("CCD"),
    "one of three": periodic("DDC"),
    "four of five": periodic("CCCCD"),
    "tit for tat": tit_for_tat,
    "suspicious tit for tat": suspicious(tit_for_tat),
    "tit for two tats": patient(2),
    "tit for three tats": patient(3),
    "two tits for a tat": remembering(2),
    "hard tit for tat": remembering(3),
    "very hard tit for tat": remembering(8),
    "contrite tit for tat": contrite,
    "generous tit for tat": forgiving(0.1),
    "very generous tit for tat": forgiving(0.3),
    "joss": joss(0.1),
    "mild joss": joss(0.03),
    "grudger": grudger,
    "soft grudger": soft_grudger,
    "suspicious grudger": suspicious(grudger),
    "pavlov": pavlov,
    "suspicious pavlov": suspicious(pavlov),
    "gradual": gradual,
    "prober": prober,
    "bully": bully,
    "soft majority": majority("C"),
    "hard majority": majority("D"),
    "random": chance_of(0.5),
}


def turn(t: Turn) -> None:
    strategy = STRATEGIES[t.args["strategy"]]
    mine, theirs = t.state.setdefault("mine", {}), t.state.setdefault("theirs", {})
    opponents = [f"player-{number}" for number in range(1, len(STRATEGIES) + 1)]
    opponents.remove(t.self_name)
    for message in t.inbox:
        theirs[message.sender] = theirs.get(message.sender, "") + message.body
    if t.turn > t.args["moves"]:
        points = sum(POINTS[a + b] for name in opponents for a, b in zip(mine[name], theirs[name], strict=True))
        t.send("referee", {"strategy": t.args["strategy"], "points": points})
        return
    for name in opponents:
        move = strategy(mine.get(name, ""), theirs.get(name, ""), t.random.random)
        mine[name] = mine.get(name, "") + move
        t.send(name, move)
