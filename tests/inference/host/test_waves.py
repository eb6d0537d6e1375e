"""Waves through the process, and what happens to them when it dies."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.inference import toy
from tests.inference.host.test_host import Collected, run
from turnwise.core.canonical import canonical
from turnwise.errors import EnvironmentFailure, InvariantError
from turnwise.inference import protocol
from turnwise.inference.host.host import InferenceHost
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.plans.wave import Wave, WaveReply
from turnwise.inference.requests.generate_request import GenerateRequest
from turnwise.sharedmem import Transport

PROMPTS = ("a dog and a cat", "b", "a dog and a cat and a bird", "cc")


class Waves(Collected):
    """What a host says of waves."""

    def __init__(self) -> None:
        super().__init__()
        self.waves: dict[int, WaveReply] = {}

    def on_wave(self, reply: WaveReply) -> None:
        assert reply.id not in self.waves, "answered twice"
        self.waves[reply.id] = reply

    async def some(self, count: int) -> None:
        await self.until(lambda: bool(self.failures) or len(self.waves) >= count)
        if self.failures:
            raise self.failures[0]


def host(collected: Waves, path: Path, **options: object) -> InferenceHost:
    return InferenceHost(
        [ModelSpec("m", path, "cpu", batching="free")],
        on_replies=collected.on_replies,
        on_failure=collected.on_failure,
        on_wave=collected.on_wave,
        **options,  # type: ignore[arg-type]
    )


def wave(id_: int, prompts: Sequence[str] = PROMPTS, tokens_max: int = 40) -> Wave:
    def body(prompt: str) -> str:
        return canonical({"prompt": prompt, "temperature": 0.9, "tokens_max": tokens_max})

    numbers = range(100 * id_, 100 * id_ + len(prompts))
    requests = [GenerateRequest(n, "m", body(prompt), b"s" * 32) for n, prompt in zip(numbers, prompts, strict=True)]
    return Wave(id_, "m", tuple(requests))


def texts(reply: WaveReply) -> list[str]:
    return [json.loads(answer.body)["ok"]["text"] for answer in reply.replies]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return toy.write_mixing_folder(tmp_path / "model", context_length=2048)


@pytest.mark.parametrize("transport", ["auto", "portable"])
def test_waves_are_answered_as_wholes_in_any_process(
    model: Path, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(batch_bytes_max: int) -> list[WaveReply]:
        monkeypatch.setattr(protocol, "BATCH_BYTES_MAX", batch_bytes_max)  # here: the process has its own
        collected = Waves()
        async with host(collected, model, transport=transport) as it:
            for id_ in (1, 2):
                it.submit_wave(wave(id_))
            assert it.statistics().pending == 2 * len(PROMPTS)
            await collected.some(2)
            assert it.statistics().pending == 0
            with pytest.raises(InvariantError, match="does not generate"):
                it.submit_wave(replace(wave(3), model="n"))
        return [collected.waves[id_] for id_ in (1, 2)]

    first, second = run(lambda: main(1 << 20))
    assert texts(first) == texts(second)
    assert first.plan == second.plan
    assert [reply.id for reply in second.replies] == [200, 201, 202, 203]
    cut, _ = run(lambda: main(1))
    assert cut == first


def test_a_process_that_dies_in_a_wave_runs_all_of_it_again(model: Path) -> None:
    async def main(kills: int) -> tuple[WaveReply, int]:
        collected = Waves()
        async with host(collected, model) as it:
            it.submit_wave(wave(1, tokens_max=1900))
            for _ in range(kills):
                before = it.statistics().tokens
                await collected.until(lambda before=before: it.statistics().tokens > before)  # type: ignore[misc]
                assert not collected.waves
                assert it.pid is not None
                os.kill(it.pid, signal.SIGKILL)
                restarts = it.statistics().restarts
                await collected.until(lambda restarts=restarts: it.statistics().restarts > restarts)  # type: ignore[misc]
            await collected.some(1)
            return collected.waves[1], it.statistics().restarts

    whole, _ = run(lambda: main(0))
    again, restarts = run(lambda: main(2))
    assert restarts == 2
    assert again == whole


def test_a_plan_that_cannot_be_issued_is_a_failure_that_says_why(model: Path) -> None:
    async def main() -> None:
        collected = Waves()
        async with host(collected, model) as it:
            it.submit_wave(wave(1))
            await collected.some(1)
        plan = replace(collected.waves[1].plan, rows_max=40)
        collected = Waves()
        async with host(collected, model, options=EngineOptions(rows_max=2)) as it:
            it.submit_wave(replace(wave(1), plan=plan))
            await collected.some(1)

    with pytest.raises(EnvironmentFailure, match="it needs 40 rows, and here is memory for 2"):
        run(main)


def test_a_host_that_nobody_listens_to_takes_no_wave(model: Path) -> None:
    async def main() -> None:
        collected = Collected()
        spec = ModelSpec("m", model, "cpu", batching="free")
        async with InferenceHost([spec], on_replies=collected.on_replies, on_failure=collected.on_failure) as it:
            it.submit_wave(wave(1))

    with pytest.raises(InvariantError, match="nobody is told"):
        run(main)
