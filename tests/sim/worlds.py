"""Worlds to be simulated: agents and models as functions, with whatever a run can have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from tests.core.worlds import plan, sends
from turnwise.core.plan import Kind, KindGrants, Limits, Plan
from turnwise.core.turn import EffectRequest
from turnwise.sim import Behaviour, Effect, Simulator

HASH = "ab" * 32


def kind(name: str, **options: Any) -> Kind:
    """A kind with a code of its own: sandboxes tell codes apart by their hashes alone."""
    return Kind(name, sha256(name.encode()).hexdigest(), **options)


@dataclass(frozen=True)
class Simulable:
    """A world with its functions, and how to simulate it."""

    plan: Plan
    behaviours: Mapping[str, Behaviour]
    options: Mapping[str, Any] = field(default_factory=dict)

    def simulator(self) -> Simulator:
        return Simulator(self.plan, self.behaviours, **self.options)


def model(request: EffectRequest, stream: bytes) -> dict[str, Any]:
    """Answers by the request and the key of its chance."""
    if request.kind == "infer":
        tensor = {"dtype": "uint8", "shape": [1], "data": "AQ=="}
        return {"ok": {"outputs": {"y": tensor}}}
    if request.kind == "embed":
        return {"ok": {"vectors": {"dtype": "uint8", "shape": [1], "data": "Ag=="}}}
    return {"ok": {"text": sha256(stream + request.body.encode()).hexdigest()[:8], "finish": "stop", "tokens": 3}}


def counts(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
    """Counts turns, with an alarm a few rounds on, and says so to everybody."""
    number = int(turn["state"] or "0") + 1
    return {
        "state": str(number),
        "send": [{"to": "all", "body": f"{turn['self']} {number}"}],
        "wake_in": 1 + (number + len(turn["self"])) % 3,
        "record": [{"name": "n", "value": number}],
    }


def listens(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
    """Keeps a digest of all that it was ever told, in order; answers some; fails now and then."""
    digest = sha256(turn["state"].encode())
    for letter in turn["inbox"]:
        digest.update(f"{letter['from']}/{letter['round']}/{letter['body']}".encode())
    if turn["turn"] % 5 == 4:
        raise ValueError("every now and then")
    answers = [letter["from"] for letter in turn["inbox"] if letter["from"] != "outside"][:2]
    return {"state": digest.hexdigest(), "send": [{"to": to, "body": "heard"} for to in answers]}


def asks(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
    """Asks models, several questions in a turn, one of them twice as much."""
    first = effect({"effect": "generate", "model": "m", "prompt": turn["state"], "tokens_max": 4})
    text = first["ok"]["text"]
    if turn["turn"] % 2:
        more = effect({"effects": [{"effect": "generate", "model": "m", "prompt": text + x} for x in "ab"]})
        text += "".join(reply["ok"]["text"] for reply in more["results"])
    if turn["turn"] % 3 == 0:
        inputs = {"x": {"dtype": "uint8", "shape": [1], "data": "AQ=="}}
        text += str(effect({"effect": "infer", "model": "t", "inputs": inputs}))
    return {"state": sha256(text.encode()).hexdigest(), "send": [{"to": "listener", "body": text[:8]}], "wake_in": 1}


def parent(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
    """Spawns children, and stops the oldest of them."""
    number = turn["turn"]
    out: dict[str, Any] = {"state": str(number), "wake_in": 2, "spawn": [{"kind": "child", "name": f"child-{number}"}]}
    if number > 2:
        out["stop"] = [f"child-{number - 2}"]
    return out


def child(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
    return {"state": turn["state"] + "x", "wake_in": 1, "send": [{"to": "listener", "body": turn["state"]}]}


LIMITS = Limits(fuel=50_000, inbox_bytes_max=400)
MODELS = KindGrants(generate=("m",), infer=("t",), send=("listener",))


def mixed(**options: Any) -> Simulable:
    """Everything at once, no model in waves."""
    kinds = [
        kind("counter", start=True, groups=("all",), grants=sends("all"), limits=LIMITS),
        kind("listener", groups=("all",), grants=sends("counter-*", "asker-*", "child-*"), limits=LIMITS),
        kind("asker", start=True, grants=MODELS, limits=LIMITS),
        kind("parent", start=True, grants=KindGrants(spawn=("child",), stop=("child-*",), send=("listener",))),
        kind("child", start=True, grants=sends("listener")),
    ]
    agents = ["counter-1:counter", "counter-2:counter", "listener:listener", "asker-1:asker", "asker-2:asker"]
    options = {"rounds_max": 12, "models": (("m", HASH), ("t", HASH))} | options
    world = plan(kinds, [*agents, "parent:parent"], messages=[("listener", "begin"), ("nobody", "lost")], **options)
    behaviours: dict[str, Behaviour] = {
        "counter": counts, "listener": listens, "asker": asks, "parent": parent, "child": child
    }  # fmt: skip
    return Simulable(world, behaviours, {"answer": model, "inputs": {2: [("listener", "hello")], 5: [("all", "x")]}})


def sequential() -> Simulable:
    """One turn a round."""
    return mixed(schedule="sequential", rounds_max=25)


def waves() -> Simulable:
    """Models whose bits depend on what runs beside what: two of them, asked in waves."""

    def talks(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        own = "m" if turn["self"].endswith(("1", "3")) else "n"
        text = effect({"effect": "generate", "model": own, "prompt": turn["state"]})["ok"]["text"]
        if (turn["turn"] + len(turn["self"])) % 2:
            many = [{"effect": "generate", "model": name, "prompt": text} for name in "mnm"]
            text = "".join(reply["ok"]["text"] for reply in effect({"effects": many})["results"])
        return {"state": sha256(text.encode()).hexdigest(), "wake_in": 1 + turn["turn"] % 2}

    world = plan(
        [kind("talker", start=True, grants=KindGrants(generate=("m", "n")))],
        [f"talker-{number}:talker" for number in range(1, 6)],
        models=(("m", HASH), ("n", HASH)),
        rounds_max=6,
    )
    return Simulable(world, {"talker": talks}, {"answer": model, "waved": ("m", "n")})


def crowd() -> Simulable:
    """Many agents without effects: batches of jobs, on few workers."""
    kinds = [kind("hub"), kind("talker", start=True, grants=sends("hub"))]

    def talks(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        return {"state": turn["state"] + "x", "send": [{"to": "hub", "body": turn["self"]}], "wake_in": 1}

    def hears(turn: dict[str, Any], effect: Effect) -> dict[str, Any]:
        said = "".join(letter["body"] for letter in turn["inbox"])
        out: dict[str, Any] = {"state": sha256((turn["state"] + said).encode()).hexdigest()}
        return out | ({"finish": out["state"]} if turn["turn"] == 6 else {})

    world = plan(kinds, ["hub:hub", *[f"talker-{number}:talker" for number in range(40)]], rounds_max=20)
    return Simulable(world, {"hub": hears, "talker": talks}, {"workers": 2})


WORLDS: Mapping[str, Callable[[], Simulable]] = {
    "mixed": mixed, "sequential": sequential, "waves": waves, "crowd": crowd
}  # fmt: skip
