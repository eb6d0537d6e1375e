"""Changes of a plan while a run goes on, as canonical JSON text: what a fork runs by from its first round on.

The form is stored and hashed, so it is public. An object, of which each member is optional and replaces the plan's own:
`seed`, `rounds_max`, `on_failure`, `agents_max`, `contents_bytes_max`; `models` (name → SHA-256); `tools` (all servers,
as in a plan); `kinds` (name →
members of that kind: `code`, `args`, `system`, and the members of `grants` and `limits` that are others). What exists
already is not touched: an agent keeps its arguments.

A text that was taken out of a journal stands as the object `{"redacted": "<SHA-256>"}`, as in a plan.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from turnwise.core.canonical import canonical
from turnwise.core.json_text import decode
from turnwise.core.plan import Kind, KindGrants, Limits, Plan
from turnwise.core.tool_plan import servers_from_json, servers_to_json
from turnwise.core.withheld import as_member, from_member
from turnwise.errors import JournalError

_NUMBERS: Final = ("seed", "rounds_max", "agents_max", "contents_bytes_max")
_TEXTS: Final = ("code", "args", "system")
TOLD: Final = ("args", "system")
"""Members of a kind that its agents are told."""


def plan_change(before: Plan, after: Plan) -> str | None:
    """The change that makes the one plan the other; None if they are the same.

    Raises ValueError if the plans differ in what cannot be changed.
    """
    change: dict[str, Any] = {
        name: getattr(after, name)
        for name in (*_NUMBERS, "on_failure")
        if getattr(after, name) != getattr(before, name)
    }
    models = dict(before.models)
    if others := {name: sha256 for name, sha256 in after.models if models.get(name) != sha256}:
        change["models"] = others
    if after.tools != before.tools:
        change["tools"] = servers_to_json(after.tools)
    kinds = {}
    for old, new in zip(before.kinds, after.kinds, strict=False):  # another number of them is noticed below
        if old != new:
            kinds[new.name] = _kind_change(old, new)
    if kinds:
        change["kinds"] = kinds
    text = canonical(change) if change else None
    if (before if text is None else changed_plan(before, text)) != after:
        raise ValueError("the plans differ in what cannot be changed while a run goes on")
    return text


def _kind_change(old: Kind, new: Kind) -> dict[str, Any]:
    members: dict[str, Any] = {
        name: as_member(getattr(new, name)) for name in _TEXTS if getattr(new, name) != getattr(old, name)
    }
    for part, names in (("grants", KindGrants.__slots__), ("limits", Limits.__slots__)):
        left, right = getattr(old, part), getattr(new, part)
        if others := {name: getattr(right, name) for name in names if getattr(right, name) != getattr(left, name)}:
            members[part] = others
    return members


def changed_plan(plan: Plan, text: str) -> Plan:
    """The plan with a change. Raises JournalError for a text that says none of this plan."""
    try:
        change = decode(text)
    except ValueError:
        raise _damaged("it is not JSON", text) from None
    change = _object(change, {*_NUMBERS, "on_failure", "models", "tools", "kinds"}, "a change of the plan")
    members: dict[str, Any] = {name: _typed(change[name], int, name) for name in _NUMBERS if name in change}
    if "on_failure" in change:
        members["on_failure"] = change["on_failure"]
        if change["on_failure"] not in ("continue", "stop"):
            raise _damaged("on_failure is unknown", change["on_failure"])
    if "models" in change:
        models = _object(change["models"], {name for name, _ in plan.models}, "models")
        members["models"] = tuple(
            [(name, _typed(models.get(name, sha256), str, f"the hash of model {name}")) for name, sha256 in plan.models]
        )
    if "tools" in change:
        members["tools"] = servers_from_json(change["tools"])
    if "kinds" in change:
        kinds = _object(change["kinds"], {kind.name for kind in plan.kinds}, "kinds")
        members["kinds"] = tuple([_changed_kind(kind, kinds.get(kind.name, {})) for kind in plan.kinds])
    return replace(plan, **members)


def plan_concerns(text: str, kind: str) -> bool:
    """Return whether a change of the plan concerns agents of a kind: it names the kind, or what all share."""
    change = decode(text)
    return not isinstance(change, dict) or bool(change.keys() - {"kinds"}) or kind in change.get("kinds", {})


def concerns_turns(text: str, kind: str) -> bool:
    """Return whether turns of a kind that have begun are others by a change of the plan."""
    change = decode(text)
    return bool(change.keys() & {"seed", "models"}) or kind in change.get("kinds", {})


def with_texts(text: str, as_value: Callable[[str, str, str], object]) -> str:
    """A change of which `as_value` makes the JSON values of what agents are told, from kind, member and text.

    Raises JournalError for what is no change.
    """
    try:
        change = decode(text)
        kinds = {
            kind: {
                name: as_value(kind, name, told) if name in TOLD and (told := from_member(value)) is not None else value
                for name, value in members.items()
            }
            for kind, members in change.get("kinds", {}).items()
        }
    except (ValueError, AttributeError):
        raise _damaged("it is not JSON of a change", text) from None
    return canonical(change | {"kinds": kinds}) if kinds else text


def _changed_kind(kind: Kind, change: object) -> Kind:
    named = f"the kind {kind.name}"
    found = _object(change, {*_TEXTS, "grants", "limits"}, named)
    members: dict[str, Any] = {}
    for name in _TEXTS:
        if name in found:
            told = from_member(found[name]) if name in TOLD else None
            members[name] = _typed(found[name], str, f"{name} of {named}") if told is None else told
    if "grants" in found:
        grants = _object(found["grants"], set(KindGrants.__slots__), f"grants of {named}")
        granted: dict[str, Any] = {}
        for name, entries in grants.items():
            if name in ("finish", "run_python", "ask"):
                granted[name] = _typed(entries, bool, f"the grant {name} of {named}")
            elif isinstance(entries, list) and all(type(entry) is str for entry in entries):
                granted[name] = tuple(entries)
            else:
                raise _damaged(f"grants of {named} are not lists of names", entries)
        members["grants"] = replace(kind.grants, **granted)
    if "limits" in found:
        limits = _object(found["limits"], set(Limits.__slots__), f"limits of {named}")
        bounds = {name: _typed(bound, int, f"{name} of {named}") for name, bound in limits.items()}
        members["limits"] = replace(kind.limits, **bounds)
    return replace(kind, **members)


def _object(value: object, names: set[str], what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict) or not value.keys() <= names:
        raise _damaged(f"{what} has members that cannot be changed", value)
    return value


def _typed(value: Any, type_: type, what: str) -> Any:
    if type(value) is not type_:
        raise _damaged(f"{what} is not of type {type_.__name__}", value)
    return value


def _damaged(what: str, actual: object) -> JournalError:
    return JournalError(
        f"a change of the plan cannot be read: {what}",
        actual=actual,
        hint="The journal is damaged. Go back to a copy of it.",
    )
