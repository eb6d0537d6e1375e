"""Results as tables, to be read by people and pasted into Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

WORKS = {
    "one_stream": "one stream: 512 prompt tokens, 64 new",
    "agents": "16 agents: 512 common, 64 own, 32 new",
    "decode_16": "16 prompts of 64, 32 new",
    "mixed": "16 prompts of 32 to 1,024, 32 new",
    "conversation": "16 conversations of 3 turns: 64 own, 32 new",
}
ODD_WORKS = {
    "one_stream": "one stream: 513 prompt tokens, 64 new",
    "agents": "16 agents: 512 common, 65 own, 32 new",
    "conversation": "8 conversations of 3 turns: 65 own, 32 new",
}
ENGINES = {
    "ours": "ours",
    "genai": "onnxruntime-genai",
    "genai_rewind": "onnxruntime-genai, rewound by hand",
    "llama_copies": "llama.cpp, copies by hand",
    "llama_copies_unified": "llama.cpp, copies by hand, one cache",
    "llama_slots": "llama.cpp, batches by hand",
    "llama_sequential": "llama-cpp-python's server",
    "llama_server": "llama-server",
    "llama_server_unified": "llama-server, one cache",
    "llama_server_primed": "llama-server, slots filled by hand",
}
COLUMNS = {
    "total_s": "in all",
    "first_s": "first token",
    "first_max_s": "last first token",
    "prefill_per_s": "prefill",
    "decode_per_s": "decoding",
}
"""Measures: seconds, or tokens a second."""


def tables(lines: list[dict[str, Any]]) -> str:
    """Markdown of everything that the lines hold."""
    parts = [_engines(lines), _reproducible(lines), _overhead(lines)]
    return "\n\n".join(part for part in parts if part)


def _engines(lines: list[dict[str, Any]]) -> str:
    rows = list(_engine_rows(lines))
    if not rows:
        return ""
    head = ["work", "engine", *COLUMNS.values(), "ours is faster: in all", "first token", "decoding"]
    return _markdown(head, rows)


def _engine_rows(lines: list[dict[str, Any]]) -> Iterator[list[str]]:
    beside = {(line["bench"], line["beside"]): line for line in lines if "beside" in line}
    for line in lines:
        if "engine" not in line:
            continue
        work, engine = line["bench"], line["engine"]
        cells = [WORKS.get(work, work), ENGINES.get(engine, engine)]
        cells += [_value(key, line[key]) if key in line else "" for key in COLUMNS]
        ratios = beside.get((work, engine), {})
        shown = ("total_s", "first_s", "decode_per_s")
        yield cells + [_ratio(ratios[key]) if key in ratios else "" for key in shown]


def _reproducible(lines: list[dict[str, Any]]) -> str:
    rows = []
    for line in lines:
        if line.get("bench") == "reproducible":
            cells = [line["form"], line["batching"], ODD_WORKS[line["work"]]]
            run = line["prompt_tokens_run"]
            cells.append(f"{run['on']:,} / {run['off']:,}")
            cells += [f"{line['on']['total_s']['median']:.3g} s", f"{line['off']['total_s']['median']:.3g} s"]
            for key in ("total_s", "cpu_s", "first_s", "decode_per_s"):
                cells.append(_percent(line["costs"][key]) if key in line["costs"] else "")
            rows.append(cells)
    head = ["form", "batching", "work", "prompt tokens run", "reproducible", "not"]
    head += ["costs: in all", "CPU time", "first token", "decoding"]
    return _markdown(head, rows) if rows else ""


def _overhead(lines: list[dict[str, Any]]) -> str:
    rows = []
    for line in lines:
        if line.get("bench") == "overhead":
            least, most = line["overhead_ms_spread"]
            cells = [line["model"], str(line["rows"]), f"{line['bare_ms']:.3g}", f"{line['engine_ms']:.3g}"]
            cells += [f"{line['overhead_ms']:.3g} ({least:.3g} to {most:.3g})", f"{line['overhead_share'] * 100:.1f} %"]
            rows.append(cells)
    head = ["model", "rows", "bare loop, ms a step", "engine", "overhead, ms (quartiles)", "share"]
    return _markdown(head, rows) if rows else ""


def _value(key: str, value: dict[str, Any]) -> str:
    """A rate of 0: never did all prompts decode at the same time."""
    unit = "/s" if key.endswith("_per_s") else " s"
    return f"{value['median']:.3g}{unit}" if value["median"] else ""


def _ratio(value: dict[str, Any]) -> str:
    if value["median"] is None:
        return ""
    least, most = value["spread"]
    return f"{value['median']:.2f} ({least:.2f} to {most:.2f})"


def _percent(value: dict[str, Any]) -> str:
    if value["median"] is None:
        return ""
    least, most = (100 * (number - 1) for number in value["spread"])
    return f"{100 * (value['median'] - 1):+.1f} % ({least:+.1f} to {most:+.1f})"


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
