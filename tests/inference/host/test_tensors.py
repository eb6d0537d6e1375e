"""Tensors through the whole of inference: the orchestrator's side, shared memory, and the process."""

from __future__ import annotations

import json
import os
import signal
import sys
from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.inference import graphs, toy
from tests.inference.host.test_host import Collected, requests, run
from turnwise.inference.host.host import InferenceHost
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.requests.embed_request import EmbedRequest
from turnwise.inference.requests.generate_request import GenerateRequest
from turnwise.inference.requests.infer_request import InferRequest
from turnwise.inference.requests.parcels import APART_BYTES_MIN
from turnwise.sharedmem import Transport

Asked = GenerateRequest | InferRequest | EmbedRequest


def host(collected: Collected, *paths: Path, **options: Any) -> InferenceHost:
    specs = [ModelSpec(path.stem, path, "cpu") for path in paths]
    return InferenceHost(specs, on_replies=collected.on_replies, on_failure=collected.on_failure, **options)


def answers(asked: list[Asked], *paths: Path, **options: Any) -> dict[int, str]:
    async def main() -> dict[int, str]:
        collected = Collected()
        async with host(collected, *paths, **options) as running:
            running.submit(asked)
            return await collected.answers(len(asked))

    found: dict[int, str] = run(main)
    return found


def infer(number: int, model: str, **arrays: NDArray[Any]) -> InferRequest:
    return InferRequest(number, model, graphs.infer_body(model, arrays))


def array_of(tensor: dict[str, Any]) -> NDArray[Any]:
    return np.frombuffer(b64decode(tensor["data"]), tensor["dtype"]).reshape(tensor["shape"])


@pytest.fixture
def dense(tmp_path: Path) -> Path:
    return graphs.write_graph(tmp_path / "dense.onnx", graphs.dense_graph())


@pytest.fixture
def divide(tmp_path: Path) -> Path:
    return graphs.write_graph(tmp_path / "divide.onnx", graphs.divide_graph())


def rows(count: int) -> list[Asked]:
    random = np.random.default_rng(5)
    return [infer(number, "dense", x=random.standard_normal((1, 8)).astype(np.float32)) for number in range(count)]


def test_together_or_one_by_one_over_any_transport(dense: Path) -> None:
    asked = rows(40)
    together = answers(asked, dense)
    assert len(set(together.values())) > 30
    assert answers(asked, dense, transport="portable") == together

    async def one_by_one() -> dict[int, str]:
        collected = Collected()
        async with host(collected, dense) as running:
            for count, request in enumerate(asked, 1):
                running.submit([request])
                await collected.answers(count)
        return collected.replies

    assert run(one_by_one) == together


def test_all_tasks_beside_each_other(dense: Path, tmp_path: Path) -> None:
    encoder = graphs.write_encoder(tmp_path / "encoder")
    talker = toy.write_folder(tmp_path / "talker")
    generate = requests("talker", 3, tokens_max=5)
    asked: list[Asked] = [*generate, infer(3, "dense", x=np.ones((1, 8), np.float32))]
    asked.append(EmbedRequest(4, "encoder", graphs.embed_body("encoder", ["a", "b"])))
    found = answers(asked, dense, encoder, talker)
    assert all("text" in json.loads(found[number])["ok"] for number in range(3))
    assert array_of(json.loads(found[3])["ok"]["outputs"]["y"]).shape == (1, 4)
    vectors = array_of(json.loads(found[4])["ok"]["vectors"])
    assert vectors.shape == (2, 6)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)


def test_a_model_answers_its_own_effect_only(dense: Path, tmp_path: Path) -> None:
    encoder = graphs.write_encoder(tmp_path / "encoder")
    talker = toy.write_folder(tmp_path / "talker")
    x = np.ones((1, 8), np.float32)
    asked: list[Asked] = [
        infer(0, "talker", x=x),
        infer(1, "encoder", x=x),
        EmbedRequest(2, "dense", graphs.embed_body("dense", ["a"])),
        EmbedRequest(3, "talker", graphs.embed_body("talker", ["a"])),
        *[GenerateRequest(4 + i, name, '{"prompt":"a"}', bytes(32)) for i, name in enumerate(("dense", "encoder"))],
    ]
    errors = [json.loads(body)["error"] for body in answers(asked, dense, encoder, talker).values()]
    assert {error["kind"] for error in errors} == {"refused"}
    assert [error["message"] for error in errors] == [
        "the model 'talker' is there to generate: it does not answer the effect 'infer'",
        "the model 'encoder' is there to embed: it does not answer the effect 'infer'",
        "the model 'dense' is there to infer: it does not answer the effect 'embed'",
        "the model 'talker' is there to generate: it does not answer the effect 'embed'",
        "the model 'dense' is there to infer: it does not answer the effect 'generate'",
        "the model 'encoder' is there to embed: it does not answer the effect 'generate'",
    ]


@pytest.mark.parametrize("transport", ["auto", "portable"])
def test_large_tensors_and_refused_ones(divide: Path, transport: Transport) -> None:
    """More than a slot, more messages than slots, and refusals among them: every slot comes back."""
    big = np.arange(1 << 20, dtype=np.float32)
    two = np.full_like(big, 2)
    asked: list[Asked] = [infer(number, "divide", a=big + number, b=two) for number in range(6)]
    asked += [infer(6 + number, "divide", a=big, b=two[1:]) for number in range(6)]
    asked.append(infer(12, "divide", a=big[:5], b=two[:5]))
    found = answers(asked, divide, transport=transport)
    for number in range(6):
        y = array_of(json.loads(found[number])["ok"]["outputs"]["y"])
        assert y.tobytes() == ((big + number) / 2).tobytes()
    assert all("the dimension 'n' is 1048576 in 'a' and 1048575 in 'b'" in found[6 + number] for number in range(6))
    assert array_of(json.loads(found[12])["ok"]["outputs"]["y"]).tolist() == [0, 0.5, 1, 1.5, 2]


def test_what_is_wrong_is_answered_and_the_others_go_on(dense: Path) -> None:
    good = rows(2)
    bad: list[Asked] = [InferRequest(7, "dense", "{"), infer(8, "dense", x=np.ones((1, 8))), infer(9, "dense")]
    found = answers([good[0], *bad, good[1]], dense)
    assert json.loads(found[7])["error"]["message"] == "the request is not JSON text"
    assert "the input 'x' is float64" in json.loads(found[8])["error"]["message"]
    assert "the input 'x' is missing" in json.loads(found[9])["error"]["message"]
    assert {number: found[number] for number in (0, 1)} == answers(good, dense)


def test_without_models_everything_is_unknown() -> None:
    found = answers([infer(1, "none", x=np.ones(1)), EmbedRequest(2, "none", "{}")])
    assert {json.loads(body)["error"]["kind"] for body in found.values()} == {"unknown"}


def test_a_process_that_dies_with_tensors_in_hand_does_not_show(dense: Path) -> None:
    asked = rows(60)
    undisturbed = answers(asked, dense)

    async def main() -> dict[int, str]:
        collected = Collected()
        async with host(collected, dense) as running:
            for start in (0, 20, 40):
                assert running.pid is not None
                os.kill(running.pid, signal.SIGKILL)
                running.submit(asked[start : start + 20])
                await collected.answers(start + 20)
            assert running.statistics().restarts == 3
            return dict(sorted(collected.replies.items()))

    assert run(main) == undisturbed


def test_cancelled_requests_are_not_answered(divide: Path) -> None:
    big = np.ones(1 << 20, np.float32)

    async def main() -> set[int]:
        collected = Collected()
        async with host(collected, divide) as running:
            running.submit([infer(number, "divide", a=big, b=big) for number in range(5)])
            running.cancel([1, 3])
            await collected.answers(3)
            running.submit([infer(9, "divide", a=big, b=big)])
            await collected.answers(4)
            return set(collected.replies)

    assert run(main) == {0, 2, 4, 9}


@pytest.mark.parametrize("transport", ["auto", "portable"])
def test_large_contents_are_messages_of_their_own_and_every_slot_comes_back(divide: Path, transport: Transport) -> None:
    """More requests at once than slots, with two large contents each, and refusals among them."""
    count = APART_BYTES_MIN // 4 + 5
    a, two = np.arange(count, dtype=np.float32), np.full(count, 2, np.float32)
    contents: dict[str, Any] = {"a": kept(a.tobytes()), "b": kept(two.tobytes()), "short": kept(two[1:].tobytes())}

    def by_handle(number: int, other: str) -> InferRequest:
        inputs = {
            name: {"dtype": "float32", "shape": [len(contents[handle]) // 4], "content": handle}
            for name, handle in (("a", "a"), ("b", other))
        }
        body = json.dumps({"effect": "infer", "model": "divide", "inputs": inputs})
        return InferRequest(number, "divide", body, {handle: contents[handle] for handle in ("a", other)})

    asked: list[Asked] = [by_handle(number, "short" if number % 3 == 2 else "b") for number in range(9)]
    found = answers(asked, divide, transport=transport)
    expected = (a / 2).tobytes()
    for number in range(9):
        if number % 3 == 2:
            assert f"the dimension 'n' is {count} in 'a' and {count - 1} in 'b'" in found[number]
        else:
            assert array_of(json.loads(found[number])["ok"]["outputs"]["y"]).tobytes() == expected


def kept(content: bytes) -> memoryview:
    """A content as a run keeps a large one."""
    if sys.platform != "linux":
        return memoryview(content)
    from turnwise.sharedmem.memory_file import SealedFile

    return memoryview(SealedFile(content))
