from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.inference import toy
from turnwise.core.canonical import canonical
from turnwise.errors import EnvironmentFailure, InvariantError, ModelError, TurnwiseError
from turnwise.inference.host import supervisor as module
from turnwise.inference.host.host import HostStatistics, InferenceHost
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.protocol import Load, MessageKind
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest
from turnwise.sharedmem import Transport

WAIT_S_MAX = 60.0
TOO_MANY_STEPS = "the expressions of the model's tokenizer take more than 8,000,000 steps on this text: shorten it"


class Collected:
    """What a host says, and a way to wait for it."""

    def __init__(self) -> None:
        self.replies: dict[int, str] = {}
        self.failures: list[TurnwiseError] = []
        self._news = asyncio.Event()

    def on_replies(self, replies: list[GenerateReply]) -> None:
        for reply in replies:
            assert reply.id not in self.replies, "answered twice"
            self.replies[reply.id] = reply.body
        self._news.set()

    def on_failure(self, error: TurnwiseError) -> None:
        self.failures.append(error)
        self._news.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds; it is looked at when there is news, and in every turn of the loop else."""
        async with asyncio.timeout(WAIT_S_MAX):
            while not condition():
                await asyncio.sleep(0)

    async def answers(self, count: int) -> dict[int, str]:
        async with asyncio.timeout(WAIT_S_MAX):
            while len(self.replies) < count:
                if self.failures:
                    raise self.failures[0]
                await self._news.wait()
                self._news.clear()
        return dict(sorted(self.replies.items()))


def host(collected: Collected, *paths: Path, **options: Any) -> InferenceHost:
    specs = [ModelSpec(path.name, path, "cpu") for path in paths]
    return InferenceHost(specs, on_replies=collected.on_replies, on_failure=collected.on_failure, **options)


def requests(model: str, count: int, **body: Any) -> list[GenerateRequest]:
    text = canonical({"prompt": "a", "temperature": 0.8, "tokens_max": 1900} | body)
    return [GenerateRequest(number, model, text, bytes([number]) * 32) for number in range(count)]


def run(main: Callable[[], Awaitable[Any]]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(2 * WAIT_S_MAX):
            return await main()

    return asyncio.run(bounded(), debug=True)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model that talks nonsense without end: an answer of 1,900 tokens takes more than a tenth of a second."""
    return toy.write_attention_folder(tmp_path / "model", context_length=2048)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """The answers of a model of the same bytes, which nothing disturbs."""
    folder = tmp_path_factory.mktemp("undisturbed") / "model"
    return answers_of(toy.write_attention_folder(folder, context_length=2048), "auto")


def answers_of(model: Path, transport: Transport) -> dict[int, str]:
    async def main() -> dict[int, str]:
        collected = Collected()
        async with host(collected, model, transport=transport) as running:
            running.submit(requests("model", 4))
            return await collected.answers(4)

    answers: dict[int, str] = run(main)
    return answers


def test_both_transports_give_the_same(model: Path, undisturbed: dict[int, str]) -> None:
    assert len(set(undisturbed.values())) == 4
    assert answers_of(model, "portable") == undisturbed


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_process_killed_in_mid_generation_changes_nothing(model: Path, undisturbed: dict[int, str]) -> None:
    async def main() -> tuple[dict[int, str], int]:
        collected = Collected()
        async with host(collected, model) as running:
            running.submit(requests("model", 4))
            for _ in range(2):
                await collected.until(lambda: running.statistics().running >= 1 and running.pid is not None)
                assert running.pid is not None
                answered = len(collected.replies)
                restarts = running.statistics().restarts
                os.kill(running.pid, signal.SIGKILL)
                assert len(collected.replies) == answered < 4
                await collected.until(lambda restarts=restarts: running.statistics().restarts > restarts)
            return await collected.answers(4), running.statistics().restarts

    answers, restarts = run(main)
    assert restarts == 2
    assert answers == undisturbed


def test_a_process_that_says_nothing_is_replaced(model: Path, undisturbed: dict[int, str]) -> None:
    async def main() -> dict[int, str]:
        collected = Collected()
        async with host(collected, model, deadline_ms=3_000) as running:
            assert running.pid is not None
            os.kill(running.pid, signal.SIGSTOP)
            running.submit(requests("model", 4))
            answers = await collected.answers(4)
            assert running.statistics().restarts == 1
            return answers

    assert run(main) == undisturbed


def test_requests_can_come_at_any_time(model: Path, undisturbed: dict[int, str]) -> None:
    async def main() -> dict[int, str]:
        collected = Collected()
        async with host(collected, model) as running:

            def begun(given: int) -> bool:
                return running.statistics().running >= 1 or len(collected.replies) > given

            for given, request in enumerate(reversed(requests("model", 4))):
                running.submit([request])
                # On a loaded machine an answer may be there before anybody saw it running.
                await collected.until(partial(begun, given))
            return await collected.answers(4)

    assert run(main) == undisturbed


def test_several_models_and_one_that_is_not_there(model: Path, tmp_path: Path) -> None:
    alphabet = toy.write_folder(tmp_path / "alphabet")

    async def main() -> dict[int, str]:
        collected = Collected()
        async with host(collected, model, alphabet) as running:
            assert set(running.models) == {"model", "alphabet"}
            assert running.models["alphabet"].context_length == toy.CONTEXT_LENGTH
            body = canonical({"prompt": "w"})
            running.submit(
                [
                    GenerateRequest(number, name, body, bytes(32))
                    for number, name in enumerate(("alphabet", "model", "neither"))
                ]
            )
            return await collected.answers(3)

    answers = run(main)
    assert json.loads(answers[0])["ok"]["text"] == "xyz"
    assert json.loads(answers[2])["error"] == {"kind": "unknown", "message": "this world has no model 'neither'"}


def test_a_hostile_tokenizer_and_text_disturb_nobody(model: Path, undisturbed: dict[int, str], tmp_path: Path) -> None:
    """A text that its expression would take for ever is refused; the process lives, and others' bits are the same."""
    hostile = toy.write_attention_folder(tmp_path / "hostile", context_length=2048)
    content = json.loads((hostile / "tokenizer.json").read_text())
    split = {"type": "Split", "pattern": {"Regex": r"\s*[\r\n]+|\s"}, "behavior": "Isolated", "invert": False}
    content["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [split, content["pre_tokenizer"]]}
    (hostile / "tokenizer.json").write_text(json.dumps(content))

    async def main() -> tuple[dict[int, str], int]:
        collected = Collected()
        async with host(collected, model, hostile) as running:
            body = canonical({"prompt": " " * 1_000_000, "tokens_max": 1})
            running.submit([GenerateRequest(4, "hostile", body, bytes(32))])
            running.submit(requests("model", 4))
            return await collected.answers(5), running.statistics().restarts

    answers, restarts = run(main)
    assert json.loads(answers[4])["error"] == {"kind": "refused", "message": TOO_MANY_STEPS}
    assert {number: answers[number] for number in range(4)} == undisturbed
    assert restarts == 0


def test_requests_that_are_pending_run_together_and_share_their_beginning(model: Path) -> None:
    prompt = "the same beginning for all of them, longer than a block of the cache"

    async def main() -> HostStatistics:
        collected = Collected()
        async with host(collected, model) as running:
            running.submit(requests("model", 8, prompt=prompt, tokens_max=50))
            await collected.answers(8)
            return running.statistics()

    statistics = run(main)
    assert statistics.tokens == 8 * 50
    assert statistics.steps == 49
    assert statistics.step_rows == 8 * 49
    assert statistics.reused_tokens + statistics.prompt_tokens == 8 * (len(prompt) + 1)
    assert statistics.reused_tokens >= 7 * 64


def test_models_share_the_memory_for_kv_caches(model: Path, tmp_path: Path) -> None:
    other = toy.write_attention_folder(tmp_path / "other", context_length=2048)
    options = EngineOptions(kv_bytes_max=256 * 2048)

    async def main() -> None:
        async with host(Collected(), model, options=options) as running:
            assert running.models["model"].context_length == 2048
        with pytest.raises(EnvironmentFailure) as caught:
            await host(Collected(), model, other, options=options).start()
        error = caught.value
        assert error.message.startswith("a context of 2,048 tokens takes 0.5 MiB of KV cache")
        assert (error.where, error.expected, error.actual) == ("models.model", 2048, 1024)
        assert "context_tokens_max = 1024" in str(error)
        specs = [ModelSpec(path.name, path, "cpu", context_tokens_max=1024) for path in (model, other)]
        async with InferenceHost(specs, on_replies=print, on_failure=print, options=options) as running:
            assert running.models["other"].context_length == 1024

    run(main)


def test_a_world_without_models_has_no_process() -> None:
    async def main() -> dict[int, str]:
        collected = Collected()
        async with host(collected) as running:
            assert running.pid is None
            running.submit(requests("m", 1))
            assert not collected.replies, "never in the call itself"
            return await collected.answers(1)

    assert json.loads(run(main)[0])["error"]["kind"] == "unknown"


def test_cancelled_requests_are_not_answered(model: Path, undisturbed: dict[int, str]) -> None:
    async def main() -> dict[int, str]:
        collected = Collected()
        async with host(collected, model) as running:
            running.submit(requests("model", 4))
            running.cancel([1, 2, 77])
            await collected.answers(2)
            running.submit(requests("model", 2)[1:])
            return await collected.answers(3)

    assert run(main) == {number: body for number, body in undisturbed.items() if number != 2}


def test_a_model_that_cannot_be_loaded(model: Path, tmp_path: Path) -> None:
    (model / "model.onnx").write_bytes(b"damaged")

    async def main() -> None:
        collected = Collected()
        async with host(collected, model):
            raise AssertionError("it must not start")

    with pytest.raises(ModelError) as caught:
        run(main)
    assert caught.value.where == str(model / "model.onnx")
    assert caught.value.hint is not None


def test_a_model_that_changes_during_the_run(model: Path) -> None:
    async def main() -> TurnwiseError:
        collected = Collected()
        async with host(collected, model) as running:
            running.submit(requests("model", 2))
            (model / "tokenizer_config.json").write_text("{}")
            assert running.pid is not None
            os.kill(running.pid, signal.SIGKILL)
            with pytest.raises(TurnwiseError):
                await collected.answers(2)
            return collected.failures[0]

    error = run(main)
    assert isinstance(error, ModelError)
    assert "have changed since the run began" in str(error)


def test_restarts_are_bounded(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> list[TurnwiseError]:
        collected = Collected()
        async with host(collected, model, restarts_max=2) as running:
            # From now on the program ends at once, as one does that finds no memory.
            monkeypatch.setattr(module, "SERVER", "turnwise.inference.no_such_module")
            running.submit(requests("model", 1))
            assert running.pid is not None
            os.kill(running.pid, signal.SIGKILL)
            await collected.until(lambda: bool(collected.failures))
            assert running.statistics().pending == 1
            return collected.failures

    (error,) = run(main)
    assert isinstance(error, EnvironmentFailure)
    assert "died 3 times in a row" in str(error)
    assert "no_such_module" in str(error)


def test_a_process_that_cannot_start_at_all(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SERVER", "turnwise.inference.no_such_module")

    async def main() -> None:
        async with host(Collected(), model, restarts_max=1):
            raise AssertionError("it must not start")

    with pytest.raises(EnvironmentFailure, match="died 2 times"):
        run(main)


def test_nothing_is_left_behind(model: Path) -> None:
    async def main() -> int:
        collected = Collected()
        running = host(collected, model)
        await running.start()
        running.submit(requests("model", 4))
        pid = running.pid
        assert pid is not None
        await running.close()
        await running.close()
        assert running.pid is None
        return pid

    assert not alive(run(main))


def test_a_start_that_is_given_up_leaves_nothing_behind(model: Path) -> None:
    async def main() -> int:
        collected = Collected()
        running = host(collected, model)
        start = asyncio.create_task(running.start())
        await collected.until(lambda: running.pid is not None)
        pid = running.pid
        start.cancel()
        with pytest.raises(asyncio.CancelledError):
            await start
        assert pid is not None
        return pid

    assert not alive(run(main))


def test_misuse(model: Path) -> None:
    async def main() -> None:
        collected = Collected()
        with pytest.raises(InvariantError):
            host(collected, model, model)
        running = host(collected, model)
        with pytest.raises(InvariantError):
            running.submit(requests("model", 1))
        async with running:
            running.submit(requests("model", 1))
            with pytest.raises(InvariantError):
                running.submit(requests("model", 1))

    run(main)


def stories_answers(path: Path, prompts: Sequence[str], kill: bool) -> dict[int, str]:
    async def main() -> dict[int, str]:
        collected = Collected()
        async with host(collected, path) as running:
            name = path.name
            for number, prompt in enumerate(prompts):
                body = canonical({"prompt": prompt, "temperature": 0.9, "top_p": 0.95, "tokens_max": 300})
                running.submit([GenerateRequest(number, name, body, bytes([number]) * 32)])
            if kill:
                await collected.until(lambda: running.statistics().tokens > 0)
                assert running.pid is not None
                os.kill(running.pid, signal.SIGKILL)
            answers = await collected.answers(len(prompts))
            assert running.statistics().restarts == int(kill)
            return answers

    answers: dict[int, str] = run(main)
    return answers


def test_texts_are_the_same_after_a_kill(demo_model: Path) -> None:
    path = demo_model
    prompts = ["Once upon a time", "Lily found a", "The big dog"]
    undisturbed = stories_answers(path, prompts, kill=False)
    assert stories_answers(path, prompts, kill=True) == undisturbed
    assert all("ok" in json.loads(body) for body in undisturbed.values())


def test_a_process_that_would_compute_otherwise_is_not_used(model: Path) -> None:
    """As when a device is lost, and the model would go on on the CPU with other bits."""

    async def main() -> TurnwiseError:
        collected = Collected()
        async with host(collected, model) as running:
            running.submit(requests("model", 1))
            assert running._supervisor is not None
            running._supervisor._load = Load([ModelSpec("model", model, "cuda")], EngineOptions())
            assert running.pid is not None
            os.kill(running.pid, signal.SIGKILL)
            await collected.until(lambda: bool(collected.failures))
            return collected.failures[0]

    error = run(main)
    assert isinstance(error, EnvironmentFailure)
    assert "its bits could differ" in str(error)
    assert error.where == "models.model"


def test_what_cannot_be_sent_ends_the_host_and_not_only_the_sending(model: Path) -> None:
    async def main() -> TurnwiseError:
        collected = Collected()
        async with host(collected, model) as running:
            running.submit(requests("model", 1))
            assert running._supervisor is not None
            running._supervisor.send(MessageKind.MESSAGE, ["not bytes"])  # type: ignore[list-item]
            await collected.until(lambda: bool(collected.failures))
            return collected.failures[0]

    error = run(main)
    assert isinstance(error, InvariantError)
    assert "the supervisor of inference failed: TypeError" in str(error)
