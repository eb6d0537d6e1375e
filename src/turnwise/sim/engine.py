"""The program of a simulated inference process: it speaks as the real one does, and a Python function answers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from hashlib import sha256
from typing import Final

from turnwise.core.canonical import canonical
from turnwise.core.turn import EffectRequest
from turnwise.inference import protocol
from turnwise.inference.plans.batch_plan import BatchPlan
from turnwise.inference.plans.model_info import ModelInfo, Numeric
from turnwise.inference.plans.wave import Wave, WaveReply
from turnwise.inference.protocol import Confined, Heartbeat, Load, Loaded, MessageKind, ReplyBatch, WaveReplyPart
from turnwise.inference.requests.generate_request import GenerateReply
from turnwise.inference.requests.parcels import Parcel, pack, unpack
from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.requests.tensors import from_json, to_json
from turnwise.sim.behaviour import Answer
from turnwise.sim.chance import Chance
from turnwise.sim.child import SimulatedChild

LOAD_S: Final = 5.0
REQUEST_S: Final = 0.5
HEARTBEAT_S: Final = 10.0
TOKENS: Final = 8
PLAN: Final = BatchPlan("free", 64, None, 4_096, 32_768, 512, 32, 1)

Asked = Callable[[str, str, bytes], None]
"""Told of every request: its effect, its body, and the key of its chance."""


class SimulatedEngine:
    """Answers requests as they come, in any order, and waves as a whole.

    `waved` are the models of class `plan-bound`: what one answers depends on all that runs beside it.
    """

    def __init__(
        self, process: SimulatedChild, chance: Chance, answer: Answer, hashes: dict[str, str], waved: Collection[str]
    ) -> None:
        self._process = process
        self._chance = chance
        self._answer = answer
        self._hashes = hashes
        self._waved = waved
        self._loaded = False
        self._waves = protocol.WaveParts()
        self._open = 0

    def take(self, kind: int, body: bytes) -> None:
        if kind == MessageKind.TENSORS:
            for parcel in unpack(body):
                inputs = {name: to_json(tensor) for name, tensor in parcel.tensors.items()}
                asked = canonical({"effect": "infer", "model": parcel.label, "inputs": inputs})
                self._begin(parcel.id, EffectRequest("infer", parcel.label, asked), b"")
            return
        message = protocol.decode_to_process(body)
        if isinstance(message, Load):
            if self._loaded:
                raise ValueError("loaded twice")
            self._loaded = True
            infos = [self._info(spec.name) for spec in message.models]
            self._process.compute(LOAD_S * self._chance.random(), lambda: self._ready(infos))
        elif isinstance(message, protocol.Submit):
            for request in message.requests:
                self._begin(request.id, EffectRequest("generate", request.model, request.body), request.stream)
        elif isinstance(message, protocol.Embed):
            for embed in message.requests:
                self._begin(embed.id, EffectRequest("embed", embed.model, embed.body), b"")
        elif isinstance(message, protocol.WavePart):
            wave = self._waves.wave(message)
            if wave is not None:
                self._begin_wave(wave)

    def lack(self) -> None:
        raise MemoryError("simulated")

    def lie(self) -> None:
        how = self._chance.below(4)
        if how == 0:
            self._say(ReplyBatch([GenerateReply(2**40, "{}")]))
        elif how == 1:
            self._say(WaveReplyPart(2**40, [GenerateReply(1, "{}")], PLAN, None, True))
        elif how == 2:
            self._say(Confined(()))
        else:
            self._say(Heartbeat(tokens=1))

    # -- answers -----------------------------------------------------------------------------------------------------

    def _begin(self, number: int, request: EffectRequest, stream: bytes) -> None:
        self._work()
        self._process.later(REQUEST_S * self._chance.random(), lambda: self._reply(number, request, stream))

    def _reply(self, number: int, request: EffectRequest, stream: bytes) -> None:
        self._open -= 1
        reply = self._answer(request, stream)
        parcel = _parcel(number, reply) if request.kind == "infer" else None
        if parcel is None:
            self._say(ReplyBatch([_generated(number, reply)]))
        else:
            self._process.write(MessageKind.TENSORS, b"".join(map(bytes, pack([parcel]))))

    def _begin_wave(self, wave: Wave) -> None:
        self._work()
        self._process.later(REQUEST_S * self._chance.random(), lambda: self._reply_wave(wave))

    def _reply_wave(self, wave: Wave) -> None:
        """Answer a wave: the bits of each answer depend on the plan, and on all requests and their order."""
        self._open -= 1
        plan = wave.plan or PLAN.for_wave([(1, len(request.body)) for request in wave.requests])
        beside = sha256(plan.text().encode())
        for request in wave.requests:
            beside.update(request.stream + request.body.encode())
        replies = []
        for request in wave.requests:
            stream = sha256(beside.digest() + request.stream).digest()
            asked = EffectRequest("generate", request.model, request.body)
            replies.append(_generated(request.id, self._answer(asked, stream)))
        for part in self._parts(WaveReply(wave.id, plan, tuple(replies))):
            self._say(part)

    def _parts(self, reply: WaveReply) -> list[WaveReplyPart]:
        """Cut an answer to a wave into a few messages, as one that is large is cut."""
        parts: list[list[GenerateReply]] = [[]]
        for answer in reply.replies:
            if parts[-1] and self._chance.below(2):
                parts.append([])
            parts[-1].append(answer)
        return [
            WaveReplyPart(reply.id, part, reply.plan, reply.problem, number == len(parts))
            for number, part in enumerate(parts, 1)
        ]

    # -- life --------------------------------------------------------------------------------------------------------

    def _ready(self, infos: Sequence[ModelInfo]) -> None:
        self._say(Loaded(list(infos)))
        self._say(Confined(()))

    def _work(self) -> None:
        self._open += 1
        if self._open == 1:
            self._process.later(HEARTBEAT_S, self._beat)

    def _beat(self) -> None:
        if self._open:
            self._say(Heartbeat(waiting=self._open))
            self._process.later(HEARTBEAT_S, self._beat)

    def _say(self, message: protocol.FromProcess) -> None:
        self._process.write(MessageKind.MESSAGE, protocol.encode(message))

    def _info(self, name: str) -> ModelInfo:
        return ModelInfo(
            name=name,
            sha256=self._hashes[name],
            provider_asked="auto",
            provider="simulated",
            providers=("simulated",),
            nodes={},
            fallback=None,
            form="in_place",
            context_length=PLAN.context_length,
            vocabulary_size=256,
            kv_bytes_per_token=1,
            threads=PLAN.threads,
            versions={},
            numeric=Numeric(
                "plan-bound" if name in self._waved else "batch-invariant", PLAN.batching, False, {}, "none", "none"
            ),
        )


def _parcel(number: int, reply: dict[str, object]) -> Parcel | None:
    """Return an answer of tensors as the process sends it; None for one that is none."""
    ok = reply.get("ok")
    outputs = ok.get("outputs") if isinstance(ok, dict) else None
    if not isinstance(outputs, dict):
        return None
    try:
        return Parcel(number, "outputs", {name: from_json(item, name) for name, item in outputs.items()})
    except Refusal:
        return None


def _generated(number: int, reply: dict[str, object]) -> GenerateReply:
    """Return an answer whose tokens are the bytes that it begins with."""
    body = canonical(reply)
    return GenerateReply(number, body, tuple(body.encode()[:TOKENS]) if "ok" in reply else None)
