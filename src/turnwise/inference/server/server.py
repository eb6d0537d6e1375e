"""The inference process: loads the models, then takes requests between the steps of its engines.

One thread. It waits for messages only when there is nothing to generate, and ends when the orchestrator is gone. When
the models are loaded it gives up what it does not need any more (`confinement`).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, assert_never

import msgspec

from turnwise.errors import EnvironmentFailure, InvariantError, ModelError
from turnwise.inference import protocol
from turnwise.inference.decoding.memory_budget import MEMORY_SHARE
from turnwise.inference.engine.language_model import LanguageModel
from turnwise.inference.engine.load import load_model
from turnwise.inference.folders.task import task_of
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.plans.wave import WaveReply
from turnwise.inference.protocol import (
    Cancel,
    Check,
    CheckBatch,
    Confined,
    Embed,
    FromProcess,
    Heartbeat,
    Load,
    Loaded,
    LoadFailed,
    MessageKind,
    Pieces,
    ReplyBatch,
    Submit,
    ToProcess,
    WavePart,
    WaveParts,
)
from turnwise.inference.requests.check_request import CheckReply
from turnwise.inference.requests.generate_request import GenerateReply, GenerateRequest, RunningText, TextPiece
from turnwise.inference.requests.parcels import Parcel, pack
from turnwise.inference.requests.refusal import error_body
from turnwise.inference.server.confinement import give_up
from turnwise.inference.server.model_server import ModelServer
from turnwise.inference.server.tensor_server import TensorServer
from turnwise.inference.tensor_models.embedder import LoadedEmbedder, load_embedder
from turnwise.inference.tensor_models.load import LoadedGraph, load_graph
from turnwise.sharedmem import Endpoint, PeerGone, connect
from turnwise.system.huge_pages import collapse_memory
from turnwise.system.memory import memory_bytes

PROGRESS_S: Final = 0.25
TEXTS_S: Final = 0.1
"""Time between two looks at what is being generated, where it is told."""
TEXTS_MAX: Final = 64
"""Texts that are told at once."""
TEXT_CHARS_MAX: Final = 300
"""Characters of each, from its end."""
COMPUTING_TOLD_MIN: Final = 1_000_000_000
"""Multiplications of a run that is told of before: fewer take seconds on the slowest machine."""


class Server:
    """Engines by model name, and the link to the orchestrator."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._engines: dict[str, ModelServer] = {}
        self._parts = WaveParts()
        self._tensors = TensorServer({})
        self._replies: list[GenerateReply] = []
        self._streamed: set[int] = set()
        self._told = 0.0
        self._tells_texts = False
        self._texts_told = 0.0

    def run(self) -> None:
        """Serve until the orchestrator closes the link."""
        if not self._load():
            return
        while True:
            while not self._working or self._endpoint.poll():
                message = self._endpoint.receive()
                if message is None:
                    return
                if message.kind == MessageKind.TENSOR:
                    self._tensors.keep(message)
                    continue
                if message.kind == MessageKind.TENSORS:
                    self._tensors.infer(message)
                    continue
                with message:
                    body = bytes(message.body)
                self._take(protocol.decode_to_process(body))
            self._step()

    @property
    def _working(self) -> bool:
        return bool(self._replies) or self._tensors.pending or any(engine.pending for engine in self._engines.values())

    def _load(self) -> bool:
        message = self._endpoint.receive()
        if message is None:
            return False
        with message:
            load = protocol.decode_to_process(bytes(message.body))
        if not isinstance(load, Load):
            raise InvariantError(f"the first message is {type(load).__name__}", expected=Load.__name__)
        try:
            models = _load_all(load.models, load.options)
        except (ModelError, EnvironmentFailure) as error:
            self._send(LoadFailed.of(error))
            return False
        self._engines = {model.info.name: ModelServer(model) for model in models if isinstance(model, LanguageModel)}
        self._tensors = TensorServer({m.info.name: m for m in models if not isinstance(m, LanguageModel)})
        self._watch(models)
        self._tells_texts = load.tells_texts
        infos = [model.info for model in models]
        models.clear()
        collapse_memory()  # the weights, mostly: they are read whole in every step
        measures = give_up([*(info.provider for info in infos), *load.confined_for])
        self._send(Loaded(infos))
        self._send(Confined(measures))
        return True

    def _send(self, message: FromProcess) -> None:
        self._endpoint.send(MessageKind.MESSAGE, protocol.encode(message))

    def _take(self, message: ToProcess) -> None:
        if isinstance(message, Submit):
            for request in message.requests:
                self._submit(request)
        elif isinstance(message, Check):
            for check in message.requests:
                self._engines[check.model].submit(check)
        elif isinstance(message, WavePart):
            wave = self._parts.wave(message)
            if wave is not None:
                self._engines[wave.model].submit_wave(wave)
        elif isinstance(message, Embed):
            self._tensors.embed(message.requests)
        elif isinstance(message, Cancel):
            self._streamed.difference_update(message.ids)
            for number in message.ids:
                self._tensors.cancel(number)
                for engine in self._engines.values():
                    engine.cancel(number)
        elif isinstance(message, Load):
            raise InvariantError("the models are loaded already")
        else:
            assert_never(message)  # a message that nothing here takes would kill every process that it is sent to

    def _submit(self, request: GenerateRequest) -> None:
        engine = self._engines.get(request.model)
        if engine is None and self._tensors.task(request.model):
            refusal = self._tensors.wrong_task(request.model, "generate")
            self._replies.append(GenerateReply(request.id, error_body(refusal.kind, refusal.message)))
        elif engine is None:
            message = f"this world has no model {request.model!r}"
            self._replies.append(GenerateReply(request.id, error_body("unknown", message)))
        else:
            if request.streamed:
                self._streamed.add(request.id)
            engine.submit(request)

    def _step(self) -> None:
        """Take one step of every engine that has work, so that no model waits for another's requests to end."""
        replies, self._replies = self._replies, []
        waves: list[WaveReply] = []
        checks: list[CheckReply] = []
        pieces: list[TextPiece] = []
        for engine in self._engines.values():
            for event in engine.step() if engine.pending else ():
                if isinstance(event, TextPiece):
                    if event.id in self._streamed:
                        pieces.append(event)
                elif isinstance(event, GenerateReply):
                    self._streamed.discard(event.id)
                    replies.append(event)
                elif isinstance(event, WaveReply):
                    waves.append(event)
                else:
                    checks.append(event)
        tensors: list[Parcel] = []
        for answer in self._tensors.step():
            if isinstance(answer, Parcel):
                tensors.append(answer)
            else:
                replies.append(answer)
        now = time.monotonic()
        texts = self._tells_texts and now - self._texts_told >= TEXTS_S
        if replies or pieces or tensors or waves or checks or texts or now - self._told >= PROGRESS_S:
            self._told = now
            self._send(self._progress(now if texts else None))
        if pieces:
            self._send(Pieces(pieces))
        if replies:
            self._send(ReplyBatch(replies))
        if checks:
            self._send(CheckBatch(checks))
        for parcel in tensors:
            self._endpoint.send(MessageKind.TENSORS, *pack([parcel]))
        for wave in waves:
            for part in protocol.wave_reply_messages(wave):
                self._send(part)

    def _watch(self, models: Sequence[LanguageModel | LoadedGraph | LoadedEmbedder]) -> None:
        """Have it told that this process goes on while models make tokens of texts."""
        for model in models:
            if isinstance(model, LanguageModel):
                model.tokenizer.watch(self._tell_now_and_then)
            elif isinstance(model, LoadedEmbedder):
                model.embedder.watch(self._tell_now_and_then)
                model.embedder.model.watch(self._tell_computing)
            else:
                model.model.watch(self._tell_computing)

    def _tell_now_and_then(self) -> None:
        """Say that this process goes on, while it makes prompts of texts."""
        now = time.monotonic()
        if now - self._told >= PROGRESS_S:
            self._told = now
            self._send(self._progress())

    def _tell_computing(self, multiplications: int) -> None:
        """Say how long nothing may be heard, before a run that may take long."""
        if multiplications >= COMPUTING_TOLD_MIN:
            self._send(msgspec.structs.replace(self._progress(), computing=multiplications))

    def _progress(self, texts_at: float | None = None) -> Heartbeat:
        """Counts of all engines together; a run of a graph is a step. With `texts_at`, the time now, also texts."""
        texts: list[RunningText] | None = None
        if texts_at is not None:
            self._texts_told, texts = texts_at, []
            for engine in self._engines.values():
                texts += engine.running_texts(TEXTS_MAX - len(texts), TEXT_CHARS_MAX)
        counts = [engine.statistics() for engine in self._engines.values()]
        graphs = self._tensors.statistics()
        return Heartbeat(
            tokens=sum(count.tokens for count in counts),
            prompt_tokens=sum(count.prompt_tokens for count in counts),
            running=sum(count.running for count in counts),
            waiting=sum(count.waiting for count in counts) + sum(graph.waiting for graph in graphs),
            reused_tokens=sum(count.reused_tokens for count in counts),
            steps=sum(count.steps for count in counts) + sum(graph.runs for graph in graphs),
            step_rows=sum(count.step_rows for count in counts) + sum(graph.rows for graph in graphs),
            slots=sum(count.slots for count in counts),
            kv_bytes=sum(count.kv_bytes for count in counts),
            texts=None if texts is None else tuple(texts),
        )


def _load_all(specs: Sequence[ModelSpec], options: EngineOptions) -> list[LanguageModel | LoadedGraph | LoadedEmbedder]:
    """Load all models. Language models share the memory for KV caches equally.

    Those that give up equal bits are loaded last: what others need of a device is set before it starts.
    """
    tasks = [task_of(spec) for spec in specs]
    whole = memory_bytes() // MEMORY_SHARE if options.kv_bytes_max is None else options.kv_bytes_max
    shared = replace(options, kv_bytes_max=whole // max(1, tasks.count("generate")))
    models: dict[str, LanguageModel | LoadedGraph | LoadedEmbedder] = {}
    for spec, task in sorted(zip(specs, tasks, strict=True), key=lambda pair: not pair[0].reproducible):
        if task == "generate":
            models[spec.name] = _whole(load_model(spec, shared))
        else:
            models[spec.name] = load_graph(spec, options) if task == "infer" else load_embedder(spec, options)
    return [models[spec.name] for spec in specs]


def _whole(model: LanguageModel) -> LanguageModel:
    """Check that there is memory for the whole context, so that no answer depends on the machine; returns the model."""
    info = model.info
    if info.context_length < info.context_wanted:
        mib = info.kv_bytes_per_token * info.context_wanted / 2**20
        raise EnvironmentFailure(
            f"a context of {info.context_wanted:,} tokens takes {mib:,.1f} MiB of KV cache, more than is there for it",
            where=f"models.{info.name}",
            expected=info.context_wanted,
            actual=info.context_length,
            hint=f"State a shorter context in [models.{info.name}], such as context_tokens_max = {info.context_length} "
            "(a new run, since its outcome may be another), or use a machine with more memory.",
        )
    return model


def main(argv: Sequence[str]) -> int:
    """Run the inference process: `argv` as `connect` takes it."""
    with connect(argv) as endpoint:
        try:
            Server(endpoint).run()
        except PeerGone:
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
