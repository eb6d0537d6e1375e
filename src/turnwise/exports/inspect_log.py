"""An evaluation log that Inspect reads (`inspect view`, `read_eval_log`): a sample for each agent of the run.

A `.eval` file is a ZIP of JSON files: `header.json`, `summaries.json`, `samples/ID_epoch_1.json`. A sample holds what
its agent asked models and was answered, what it did turn by turn, its state at the end, and its recorded values as
scores.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from heapq import merge
from pathlib import Path
from typing import Any, Final

from turnwise._version import __version__
from turnwise.core.records import AgentRecord, EffectRecord, ParkRecord, TurnRecord
from turnwise.exports.inspect_events import moment, turn_events
from turnwise.journal import Journal
from turnwise.journal.file.times import RoundTimes
from turnwise.journal.run import Run

VERSION: Final = 2
"""Version of the log's format."""

_STOPS: Final = {"stop": "stop", "end": "stop", "length": "max_tokens", "context_full": "model_length"}
_STATUS: Final = {"finished": "success", "quiet": "success", "rounds_max": "success", "failed": "error"}
_DAY: Final = (1980, 1, 1, 0, 0, 0)

JsonObject = dict[str, Any]


def write_inspect(journal: Journal, run: Run, out: Path) -> None:
    """Write the log of a run to a new file."""
    agents = list(journal.queries.agents())
    with out.open("xb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:

        def put(name: str, value: object) -> None:
            info = zipfile.ZipInfo(name, _DAY)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, json.dumps(value, ensure_ascii=False))

        header = _header(journal, run, len(agents))
        put("_journal/start.json", {key: header[key] for key in ("version", "eval", "plan")})
        summaries = []
        usage: dict[str, JsonObject] = {}
        names = [agent.name for agent in agents]
        times = {of.round: of for of in journal.timings.between()}
        for agent in agents:
            sample = _sample(journal, agent, names, times, run.plan.time_start_us)
            put(f"samples/{agent.name}_epoch_1.json", sample)
            for model, used in sample["model_usage"].items():
                _add(usage.setdefault(model, _no_usage()), used)
            summaries.append(_summary(sample))
        put("summaries.json", summaries)
        put("header.json", header | {"stats": header["stats"] | {"model_usage": usage}})


def _header(journal: Journal, run: Run, samples: int) -> JsonObject:
    started_us = ended_us = run.plan.time_start_us
    for number, times in enumerate(journal.timings.between()):
        started_us = started_us if number else times.started_us
        ended_us = times.started_us + times.duration_us
    started = moment(started_us)
    models = [name for name, _ in run.plan.models]
    head = run.head
    header: JsonObject = {
        "version": VERSION,
        "status": _STATUS.get(run.status, "cancelled"),
        "eval": {
            "eval_id": head[:22],
            "run_id": head[:22],
            "created": started,
            "task": run.world_name,
            "task_id": head[:22],
            "task_version": 0,
            "task_attribs": {},
            "task_args": {"seed": run.seed},
            "dataset": {"name": "agents", "samples": samples},
            "model": f"turnwise/{models[0] if models else 'none'}",
            "model_args": {},
            "config": {"epochs": 1},
            "packages": {"turnwise": __version__},
            "metadata": {"head": head, "seed": run.seed, "models": dict(run.plan.models)},
        },
        "plan": {"name": "plan", "steps": [], "config": {}},
        "results": {"total_samples": samples, "completed_samples": samples, "scores": []},
        "stats": {"started_at": started, "completed_at": moment(max(started_us, ended_us)), "model_usage": {}},
    }
    if run.status == "failed":
        header["error"] = {"message": run.message or "", "traceback": "", "traceback_ansi": ""}
    return header


def _sample(
    journal: Journal, agent: AgentRecord, names: list[str], times: dict[int, RoundTimes], start_us: int
) -> JsonObject:
    messages: list[JsonObject] = []
    usage: dict[str, JsonObject] = {}
    scores: dict[str, JsonObject] = {}
    output: JsonObject = {"model": "", "choices": []}
    first: str | None = None
    state, turns, failed, taken_us = str(agent.state), 0, 0, 0
    events: list[JsonObject] = []
    begun = 0
    first_answers = journal.rounds.parks.first_answers()
    waited: ParkRecord | None = None
    for round_, turn in _parts(journal, agent.place):
        read = [] if turn.turn == begun else [journal.queries.message(seq) for seq in turn.inbox]
        goes_on = waited is not None and waited.turn == turn.turn
        replies = journal.rounds.parks.replies(waited, first_answers) if waited is not None and goes_on else []
        waited = turn if isinstance(turn, ParkRecord) else None
        begun = turn.turn
        turns += isinstance(turn, TurnRecord)
        failed += isinstance(turn, TurnRecord) and turn.failure is not None
        if first is None and read:
            first = str(read[0].body)
        calls: list[JsonObject] = []
        if isinstance(turn, TurnRecord) and turn.output is not None:
            state = str(turn.output.state)
            for record in turn.output.record:
                value = str(record.value) if isinstance(record.value, str) else record.value
                scores[record.name] = {"value": value, "metadata": {"round": round_}}
        for effect in turn.effects:
            if effect.kind == "generate":
                prefix = f"{agent.name}-{round_}-{effect.index}"
                asked = list(_asked(effect, prefix))
                messages += asked
                answered = _answered(effect, prefix)
                calls.append({"index": effect.index, "input": asked, "output": answered})
                output = answered
                messages += [choice["message"] for choice in answered["choices"]]
                if effect.model is not None and "usage" in answered:
                    _add(usage.setdefault(effect.model, _no_usage()), answered["usage"])
        clock = times.get(round_, RoundTimes(round_, start_us, 0, {}, {}, {}))
        taken_us += clock.turns[agent.place].duration_us if agent.place in clock.turns else 0
        events += turn_events(agent.name, clock, turn, read, names.__getitem__, calls, replies)
    return {
        "id": agent.name,
        "epoch": 1,
        "input": first or str(agent.args),
        "target": "",
        "messages": messages,
        "output": output,
        "scores": scores,
        "metadata": {"kind": agent.kind, "args": str(agent.args), "turns": turns, "failed_turns": failed},
        "store": {"state": state},
        "events": events,
        "total_time": taken_us / 1e6,
        "model_usage": usage,
        "attachments": {},
    }


def _parts(journal: Journal, place: int) -> Iterator[tuple[int, TurnRecord | ParkRecord]]:
    """Yield the turns of an agent, and what those that wait for people did in the rounds before, in order of round."""
    parks: Iterator[tuple[int, TurnRecord | ParkRecord]] = journal.rounds.parks.all_parks(place)
    return merge(journal.queries.turns(place), parks, key=lambda part: part[0])


def _summary(sample: JsonObject) -> JsonObject:
    keys = ("id", "epoch", "input", "target", "metadata", "scores", "model_usage", "total_time")
    return {key: sample[key] for key in keys} | {"completed": True, "message_count": len(sample["messages"])}


def _asked(effect: EffectRecord, prefix: str) -> Iterator[JsonObject]:
    request = _object(effect.request)
    messages = request.get("messages")
    if not isinstance(messages, list):
        messages = [{"role": "user", "content": request.get("prompt", str(effect.request))}]
    for number, one in enumerate(messages):
        role = one.get("role") if isinstance(one, dict) else None
        content = str(one.get("content")) if isinstance(one, dict) else str(one)
        known = role if role in ("system", "assistant") else "user"
        yield {"id": f"{prefix}-{number}", "role": known, "content": content}


def _answered(effect: EffectRecord, prefix: str) -> JsonObject:
    reply = _object(effect.reply)
    ok = reply.get("ok")
    if not isinstance(ok, dict):
        return {"model": effect.model or "", "choices": [], "error": str(effect.reply)}
    message = {
        "id": f"{prefix}-answer",
        "role": "assistant",
        "content": str(ok.get("text", "")),
        "source": "generate",
        "model": effect.model or "",
    }
    stop = _STOPS.get(str(ok.get("finish")), "unknown")
    used = [ok.get("prompt_tokens"), ok.get("tokens")]
    prompt, answer = (count if isinstance(count, int) else 0 for count in used)
    return {
        "model": effect.model or "",
        "choices": [{"message": message, "stop_reason": stop}],
        "usage": {"input_tokens": prompt, "output_tokens": answer, "total_tokens": prompt + answer},
    }


def _no_usage() -> JsonObject:
    return {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}


def _add(total: JsonObject, used: JsonObject) -> None:
    for key, count in used.items():
        total[key] += count


def _object(text: str) -> JsonObject:
    value = json.loads(text)
    return value if isinstance(value, dict) else {}
