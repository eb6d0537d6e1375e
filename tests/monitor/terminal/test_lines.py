"""What is live stands in a few lines: who moves, workers, and what engines do."""

from __future__ import annotations

from turnwise.monitor.live import told
from turnwise.monitor.terminal.lines import facts_lines
from turnwise.telemetry.sample import Sample, State

QUIET = State(
    sample=1, at_us=0, texts=0, phase="playing", round=3, rounds=2, turns=9, failures=0, executing=(1,),
    executing_count=1, asking=(), asking_count=0, workers=(1, 0), workers_count=2, jobs_queued=0, worker_deaths=0,
    running=0, waiting=0, slots=0, kv_bytes=0, tokens=0, restarts=0,
)  # fmt: skip


def lines(**members: int) -> list[str]:
    """Lines of a state that differs in some members."""
    state = State(**{**{name: getattr(QUIET, name) for name in QUIET.__struct_fields__}, **members})
    return [line.plain for line in facts_lines(told(Sample(state, (), 0), lambda place: f"agent {place}"))]


def test_a_run_without_models_says_nothing_of_engines() -> None:
    assert lines()[1:] == ["moving   agent 1", "workers  1 of 2 busy, 0 turns queued"]


def test_engines_say_what_they_do_and_how_much_the_cache_gave() -> None:
    engine = "models   3 of 8 slots, 1 waiting, 500 tokens, 2.0 MiB of KV cache"
    working = {"slots": 8, "running": 3, "waiting": 1, "tokens": 500, "kv_bytes": 2 * 2**20}
    assert lines(**working)[-1] == engine
    assert lines(**working, prompt_tokens=300, reused_tokens=700)[-1] == f"{engine}, 70 % of prompts from the cache"
