"""A plan as canonical JSON text and back, exactly: what a journal begins with, and what the head hashes first.

The form is stored, so it is public: `{"plan": 1, …}` with the members of `Plan` by their names. An agent's `args` and
`state` are left out where they are those of its kind, so that a crowd with a large state is stored once; a kind's
`system` is left out where it is empty, as are `run_python` of the plan and the grant of that name where nobody has it,
and `tools` where there are none.

Version 2 has the bounds of sums (`agents_max`, and the limits of `_LIMITS_LATER`) and the grant `finish`. A plan that
has no bounds is written as version 1, in which everybody may finish, so that older journals keep their text and head.

A text that was taken out of a journal (`Withheld`) stands as the object `{"redacted": "<SHA-256>"}`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from turnwise.core.canonical import canonical
from turnwise.core.plan import (
    CONTENTS_BYTES_MAX_DEFAULT,
    PUT_BYTES_MAX_DEFAULT,
    AgentPlan,
    InitialMessage,
    Kind,
    KindGrants,
    Limits,
    OnFailure,
    Plan,
    Schedule,
)
from turnwise.core.tool_plan import servers_from_json, servers_to_json
from turnwise.core.withheld import as_member, from_member
from turnwise.errors import InvariantError, JournalError

VERSION: Final = 2
VERSION_WITHOUT_SUMS: Final = 1

_SCHEDULES: Final[tuple[Schedule, ...]] = ("rounds", "sequential")
_ON_FAILURE: Final[tuple[OnFailure, ...]] = ("continue", "stop")
_GRANTS: Final = ("generate", "send", "spawn", "stop")
_GRANTS_LATER: Final = ("infer", "embed", "call", "approve")
"""Written only where they grant something: plans that do not know them have the text that they always had."""
_LIMITS: Final = ("fuel", "memory_bytes", "output_bytes_max", "effects_max")
_LIMITS_LATER: Final = (
    "state_bytes_max",
    "send_bytes_max",
    "deliveries_max",
    "inbox_bytes_max",
    "effects_bytes_max",
)

_Type = TypeVar("_Type")
_Choice = TypeVar("_Choice", bound=str)


def plan_to_json(plan: Plan, text: Callable[[str], object] = as_member) -> str:
    """The canonical text of a plan. Equal plans have equal texts, and other plans others.

    `text` makes the JSON value of what agents are told: args, first states, system prompts and first messages.
    """
    bounded = plan.version == VERSION
    for kind in plan.kinds:
        if any((getattr(kind.limits, name) is not None) != bounded for name in _LIMITS_LATER):
            raise InvariantError("a plan has all bounds of sums, or none", where=kind.name, expected=bounded)
        if not (bounded or kind.grants.finish):
            raise InvariantError("in a plan of version 1 everybody may finish the run", where=kind.name, expected=True)
    return canonical(
        {
            "plan": VERSION if bounded else VERSION_WITHOUT_SUMS,
            "name": plan.name,
            "seed": plan.seed,
            "schedule": plan.schedule,
            "rounds_max": plan.rounds_max,
            "on_failure": plan.on_failure,
            "time_start_us": plan.time_start_us,
            "round_us": plan.round_us,
            "kinds": [_kind_to_json(kind, text, bounded) for kind in plan.kinds],
            "agents": _agents_to_json(plan, text),
            "messages": [{"to": message.to, "body": text(message.body)} for message in plan.messages],
            "models": [{"name": name, "sha256": sha256} for name, sha256 in plan.models],
        }
        | ({"agents_max": plan.agents_max} if bounded else {})
        | ({} if plan.run_python is None else {"run_python": plan.run_python})
        | _unless(plan.contents_bytes_max, CONTENTS_BYTES_MAX_DEFAULT, "contents_bytes_max")
        | ({"tools": servers_to_json(plan.tools)} if plan.tools else {})
    )


def plan_from_json(text: str) -> Plan:
    """The plan that a text says. Raises JournalError if it says none, or one of a newer version."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged("the text is not JSON") from error
    plan = Members(value, "the plan")
    version = plan.take("plan", int)
    if version not in (VERSION_WITHOUT_SUMS, VERSION):
        raise JournalError(
            f"the plan has version {version}",
            expected=VERSION,
            actual=version,
            hint="It was written by a newer Turnwise. Install that one to read it.",
        )
    bounded = version == VERSION
    kinds = tuple(_kind_from_json(Members(item, "a kind"), bounded) for item in plan.take("kinds", list))
    result = Plan(
        name=plan.take("name", str),
        seed=plan.take("seed", int),
        kinds=kinds,
        agents=_agents_from_json(plan.take("agents", list), kinds),
        schedule=plan.choose("schedule", _SCHEDULES),
        rounds_max=plan.take("rounds_max", int),
        on_failure=plan.choose("on_failure", _ON_FAILURE),
        messages=tuple(_message_from_json(Members(item, "a message")) for item in plan.take("messages", list)),
        models=tuple(_model_from_json(Members(item, "a model")) for item in plan.take("models", list)),
        time_start_us=plan.take("time_start_us", int),
        round_us=plan.take("round_us", int),
        agents_max=plan.take("agents_max", int) if bounded else None,
        run_python=plan.take("run_python", str) if plan.has("run_python") else None,
        contents_bytes_max=plan.number_given("contents_bytes_max", CONTENTS_BYTES_MAX_DEFAULT),
        tools=servers_from_json(plan.take("tools", list)) if plan.has("tools") else (),
    )
    plan.close()
    return result


def _kind_to_json(kind: Kind, text: Callable[[str], object], bounded: bool) -> dict[str, Any]:
    members = {
        "name": kind.name,
        "code": kind.code,
        "args": text(kind.args),
        "state": text(kind.state),
        "start": kind.start,
        "groups": kind.groups,
        "grants": {name: getattr(kind.grants, name) for name in _GRANTS}
        | {name: entries for name in _GRANTS_LATER if (entries := getattr(kind.grants, name))}
        | ({"finish": kind.grants.finish} if bounded else {})
        | ({"run_python": True} if kind.grants.run_python else {})
        | ({"ask": True} if kind.grants.ask else {}),
        "limits": {name: getattr(kind.limits, name) for name in _LIMITS}
        | {name: bound for name in _LIMITS_LATER if (bound := getattr(kind.limits, name)) is not None}
        | _unless(kind.limits.put_bytes_max, PUT_BYTES_MAX_DEFAULT, "put_bytes_max"),
    }
    return members | ({"system": text(kind.system)} if kind.system else {})


def _kind_from_json(kind: Members, bounded: bool) -> Kind:
    grants = Members(kind.take("grants", dict), "the grants of a kind")
    limits = Members(kind.take("limits", dict), "the limits of a kind")
    result = Kind(
        name=kind.take("name", str),
        code=kind.take("code", str),
        args=kind.text("args"),
        state=kind.text("state"),
        start=kind.take("start", bool),
        groups=kind.texts("groups"),
        grants=KindGrants(
            **{name: grants.texts(name) for name in _GRANTS},
            **{name: grants.texts_given(name) for name in _GRANTS_LATER},
            finish=grants.take("finish", bool) if bounded else True,
            run_python=grants.flag_given("run_python"),
            ask=grants.flag_given("ask"),
        ),
        limits=Limits(
            **{name: limits.take(name, int) for name in _LIMITS},
            state_bytes_max=limits.take("state_bytes_max", int) if bounded else None,
            send_bytes_max=limits.take("send_bytes_max", int) if bounded else None,
            deliveries_max=limits.take("deliveries_max", int) if bounded else None,
            inbox_bytes_max=limits.take("inbox_bytes_max", int) if bounded else None,
            effects_bytes_max=limits.take("effects_bytes_max", int) if bounded else None,
            put_bytes_max=limits.number_given("put_bytes_max", PUT_BYTES_MAX_DEFAULT),
        ),
        system=kind.text("system") if kind.has("system") else "",
    )
    for members in (grants, limits, kind):
        members.close()
    return result


def _unless(value: int, usual: int, name: str) -> dict[str, Any]:
    """A member that is left out where it is what it usually is."""
    return {} if value == usual else {name: value}


def _agents_to_json(plan: Plan, text: Callable[[str], object]) -> list[dict[str, object]]:
    own = {kind.name: (kind.args, kind.state) for kind in plan.kinds}
    agents: list[dict[str, object]] = []
    for agent in plan.agents:
        item: dict[str, object] = {"name": agent.name, "kind": agent.kind}
        args, state = own.get(agent.kind, (None, None))
        if agent.args != args:
            item["args"] = text(agent.args)
        if agent.state != state:
            item["state"] = text(agent.state)
        agents.append(item)
    return agents


def _agents_from_json(items: Sequence[Any], kinds: Sequence[Kind]) -> tuple[AgentPlan, ...]:
    own = {kind.name: {"args": kind.args, "state": kind.state} for kind in kinds}
    agents: list[AgentPlan] = []
    for item in items:
        try:
            texts = {name: from_member(item[name]) for name in ("args", "state") if name in item}
            agent = AgentPlan(**{**own.get(item["kind"], {}), **item, **texts})
            if not (type(agent.name) is type(agent.kind) is str) or None in texts.values():
                raise _damaged("an agent has a member that is not text")
            if agent.kind not in own and not {"args", "state"} <= item.keys():
                raise _damaged("an agent of no known kind has no args or state")
        except (TypeError, KeyError) as error:
            raise _damaged("an agent is not one") from error
        agents.append(agent)
    return tuple(agents)


def _message_from_json(message: Members) -> InitialMessage:
    result = InitialMessage(to=message.take("to", str), body=message.text("body"))
    message.close()
    return result


def _model_from_json(model: Members) -> tuple[str, str]:
    result = (model.take("name", str), model.take("sha256", str))
    model.close()
    return result


class Members:
    """The members of one JSON object, each taken once by its name and type."""

    def __init__(self, value: object, what: str) -> None:
        if not isinstance(value, dict):
            raise _damaged(f"{what} is not an object")
        self._values: Mapping[str, Any] = value
        self._what = what
        self._taken: set[str] = set()

    def has(self, name: str) -> bool:
        return name in self._values

    def take(self, name: str, type_: type[_Type]) -> _Type:
        value = self._values.get(name)
        if type(value) is not type_:
            raise _damaged(f"{self._what} has no {name!r} of type {type_.__name__}")
        self._taken.add(name)
        return value

    def text(self, name: str) -> str:
        """A text that may have been withheld."""
        found = from_member(self._values.get(name))
        if found is None:
            raise _damaged(f"{self._what} has no {name!r} of type str")
        self._taken.add(name)
        return found

    def texts(self, name: str) -> tuple[str, ...]:
        values = self.take(name, list)
        if not all(isinstance(value, str) for value in values):
            raise _damaged(f"{self._what} has something else than texts in {name!r}")
        return tuple(values)

    def texts_given(self, name: str) -> tuple[str, ...]:
        """Texts of a member that is left out where it is empty."""
        if name not in self._values:
            return ()
        found = self.texts(name)
        if not found:
            raise _damaged(f"{self._what} has an empty {name!r}")
        return found

    def number_given(self, name: str, usual: int) -> int:
        """A number that is left out where it is what it usually is."""
        if name not in self._values:
            return usual
        found = self.take(name, int)
        if found == usual:
            raise _damaged(f"{self._what} has a {name!r} that is the usual one")
        return found

    def flag_given(self, name: str) -> bool:
        """A flag that is left out where it is not set."""
        if name in self._values and not self.take(name, bool):
            raise _damaged(f"{self._what} has a {name!r} that is not set")
        return name in self._values

    def choose(self, name: str, choices: tuple[_Choice, ...]) -> _Choice:
        value = self.take(name, str)
        for choice in choices:
            if value == choice:
                return choice
        raise _damaged(f"{self._what} has an unknown {name!r}: {value!r}")

    def close(self) -> None:
        """Raise for members that were not taken: they are not of this version."""
        rest = self._values.keys() - self._taken
        if rest:
            raise _damaged(f"{self._what} has an unknown member {min(rest)!r}")


def _damaged(what: str) -> JournalError:
    return JournalError(f"the plan cannot be read: {what}", hint="The journal is damaged. Go back to a copy of it.")
