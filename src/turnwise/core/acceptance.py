"""Accepting a turn's output: all of it must be granted, and within the bounds of sums."""

from __future__ import annotations

from turnwise.core import grants
from turnwise.core.envelope import BYTES_A_CHARACTER_MAX, within
from turnwise.core.state import AgentState, WorldState
from turnwise.core.turn import Failure, FailureClass, TurnOutput


def refusal(agent: AgentState, output: TurnOutput, world: WorldState) -> Failure | None:
    """Return why an output cannot be accepted, or None. Depends on the world as it was when the round began."""
    if output.send or output.spawn or output.stop or output.finish is not None:
        return _denied(agent, output, world) or _excess(agent, output, world)
    return _state_excess(agent, output)  # there is nothing else in it that could be refused


def _denied(agent: AgentState, output: TurnOutput, world: WorldState) -> Failure | None:
    layers = agent.grants
    for send in output.send:
        if not grants.may_send(layers, send.to, world.groups_of(send.to)):
            return _denial(f"{agent.name} is not granted to send to {send.to!r} (grants.send)")
    for spawn in output.spawn:
        if spawn.kind not in world.kinds or not grants.may_spawn(layers, spawn.kind):
            return _denial(f"{agent.name} is not granted to spawn {spawn.kind!r} (grants.spawn)")
    for name in output.stop:
        if name != agent.name and not grants.may_stop(layers, name, world.groups_of(name)):
            return _denial(f"{agent.name} is not granted to stop {name!r} (grants.stop)")
    if output.finish is not None and not grants.may_finish(layers):
        return _denial(f"{agent.name} is not granted to finish the run (grants.finish)")
    return None


def _excess(agent: AgentState, output: TurnOutput, world: WorldState) -> Failure | None:
    limits = agent.kind.limits
    send_max, deliveries_max = limits.send_bytes_max, limits.deliveries_max
    if (failure := _state_excess(agent, output)) is not None:
        return failure
    if send_max is not None and not within((send.body for send in output.send), send_max):
        return _too_much(f"the turn sent more than {send_max:,} bytes, bodies as JSON", "send_mib")
    if deliveries_max is not None and _deliveries(agent, output, world, deliveries_max) > deliveries_max:
        return _too_much(f"the turn's messages have more than {deliveries_max:,} recipients", "deliveries_max")
    for spawn in output.spawn:
        kind = world.kinds[spawn.kind]
        child_max = kind.limits.state_bytes_max
        texts = (kind.args, spawn.args or "", kind.state if spawn.state is None else spawn.state)
        if child_max is not None and not within(texts, child_max):
            what = f"args (with those of its kind) and state of {spawn.name!r} come to more than {child_max:,} bytes"
            return _too_much(f"{what} as JSON", "state_mib", kind.name)
    return None


def _state_excess(agent: AgentState, output: TurnOutput) -> Failure | None:
    state_max = agent.kind.limits.state_bytes_max
    if state_max is None or (len(agent.args) + len(output.state)) * BYTES_A_CHARACTER_MAX + 4 <= state_max:
        return None  # as `within` would find, for nearly all
    if within((agent.args, output.state), state_max):
        return None
    return _too_much(f"args and state come to more than {state_max:,} bytes as JSON", "state_mib")


def _deliveries(agent: AgentState, output: TurnOutput, world: WorldState, enough: int) -> int:
    """Recipients of all messages, at least one for each; counted until there are more than `enough`."""
    count = 0
    known: dict[str, int] = {}
    for send in output.send:
        if send.to not in known:
            known[send.to] = max(1, len(world.recipients(send.to, agent.place)))
        count += known[send.to]
        if count > enough:
            break
    return count


def _denial(message: str) -> Failure:
    return Failure(FailureClass.DENIED, message)


def _too_much(message: str, knob: str, kind: str | None = None) -> Failure:
    of = f"the kind {kind!r}" if kind is not None else "its kind"
    return Failure(FailureClass.OUTPUT_SIZE, f"{message} (`{knob}` of {of})")
