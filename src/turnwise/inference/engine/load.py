"""Loads a model: folder, tokenizer, template and graph, each checked, and all of them together once on a few tokens."""

from __future__ import annotations

import time
from typing import Final

import numpy as np

from turnwise.errors import EnvironmentFailure, ModelError, TurnwiseError
from turnwise.inference.decoding.decoder import Decoder
from turnwise.inference.decoding.graph_form import form_of
from turnwise.inference.decoding.numeric_class import cannot_record, differs, observe_numeric_class
from turnwise.inference.decoding.self_test import SelfTest
from turnwise.inference.decoding.tolerance import margin_of
from turnwise.inference.engine.language_model import LanguageModel
from turnwise.inference.folders.content_hash import changed_hash, content_hash
from turnwise.inference.folders.model_folder import ModelFolder, read_model_folder
from turnwise.inference.folders.spec_changes import ChangedFolder, changed_folder
from turnwise.inference.onnx.provider_names import CPU
from turnwise.inference.onnx.providers import versions
from turnwise.inference.onnx.runtime import RUNTIME_ERRORS, first_line, is_kernel_refusal
from turnwise.inference.onnx.sessions import Opened, Sessions
from turnwise.inference.plans.engine_options import EngineOptions
from turnwise.inference.plans.model_info import ModelInfo, Numeric
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.plans.tool_form import ToolForm
from turnwise.inference.sampling.grammar import GrammarCompiler
from turnwise.inference.text.chat_template import ChatTemplate
from turnwise.inference.text.tokenizer import read_tokenizer
from turnwise.inference.text.tool_form import find_tool_form

_FAILURES: Final[tuple[type[Exception], ...]] = (ModelError, EnvironmentFailure, *RUNTIME_ERRORS)
KV_BYTES_PER_TOKEN_MAX: Final = 16 * 1024 * 1024


def load_model(spec: ModelSpec, options: EngineOptions | None = None) -> LanguageModel:
    """Load a model. Raises ModelError for whatever is wrong with it."""
    started = time.monotonic()
    changed = changed_folder(spec, read_model_folder(spec.path, spec.variant))
    folder = changed.folder
    tokenizer = read_tokenizer(
        folder.tokenizer_path,
        bos=folder.layout.bos,
        add_bos=folder.add_bos,
        template=folder.template,
        vocabulary_size=folder.layout.vocabulary_size,
    )
    template = None
    if folder.template is not None:
        template = ChatTemplate(folder.template, folder.special_tokens, where=folder.template_from or "")
    digest = changed_hash(content_hash(folder.files), changed.changes)
    options = options or EngineOptions()
    opened = _open(spec, folder, options, digest)
    observed = observe_numeric_class(spec, folder, opened, digest)
    rule = observed.rule
    decoder = Decoder(folder, opened, options, rule.batching, rule.chunked, rule.rows_min)
    numeric = _numeric(spec, folder, decoder, observed)
    tools = None if template is None else find_tool_form(template, tokenizer, sorted(folder.layout.ends))
    info = _info(spec, changed, opened, decoder, numeric, digest, tools, (time.monotonic() - started) * 1000)
    grammars = GrammarCompiler(tokenizer.vocabulary(folder.layout.ends))
    return LanguageModel(info, numeric, tokenizer, template, grammars, decoder, folder.layout.ends, margin_of(folder))


def _numeric(spec: ModelSpec, folder: ModelFolder, decoder: Decoder, observed: SelfTest) -> Numeric:
    form = form_of(folder.layout.graph)
    return Numeric(
        numeric_class=observed.numeric_class,
        batching=decoder.batching,
        chunked=decoder.chunk_tokens is not None,
        checks=observed.checks,
        attention=form.attention,
        weights=form.weights,
        reproducible=spec.reproducible,
    )


def _open(spec: ModelSpec, folder: ModelFolder, options: EngineOptions, digest: str) -> Opened:
    """Open a session on the best provider that starts, can run a few tokens, and agrees with the CPU about them."""
    sessions = Sessions(
        spec, folder.layout.graph_path, folder.weights_bytes, options, logits=folder.layout.names.logits
    )
    while True:
        opened = sessions.open()
        try:
            _try_out(folder, Decoder(folder, opened, options))
            seen = None if opened.provider == CPU else differs(spec, folder, opened, digest)
        except _FAILURES as error:
            if opened.provider == CPU:
                raise
            seen = f"fails: {error.message if isinstance(error, TurnwiseError) else first_line(error)}"
        if seen is not None:
            sessions.refuse(opened, seen)
        elif opened.recordings is None or (refused := cannot_record(folder, opened)) is None:
            return opened
        else:
            sessions.refuse_recording(opened, refused)


def _info(
    spec: ModelSpec,
    changed: ChangedFolder,
    opened: Opened,
    decoder: Decoder,
    numeric: Numeric,
    digest: str,
    tools: ToolForm | None,
    load_ms: float,
) -> ModelInfo:
    folder = changed.folder
    return ModelInfo(
        name=spec.name,
        sha256=digest,
        provider_asked=spec.provider,
        provider=opened.provider,
        providers=tuple(opened.session.get_providers()),
        nodes=opened.nodes,
        fallback=opened.fallback,
        form=decoder.form,
        context_length=decoder.budget.context_length,
        context_wanted=folder.layout.context_length,
        vocabulary_size=folder.layout.vocabulary_size,
        kv_bytes_per_token=decoder.kv.bytes_per_token,
        threads=opened.threads,
        versions=versions() | dict(opened.facts),
        architecture=folder.layout.architecture,
        convention=folder.layout.convention,
        variant=folder.layout.variant,
        numeric=numeric,
        load_ms=load_ms,
        recording="yes" if decoder.recorded else f"no: {opened.unrecorded}" if opened.unrecorded else "",
        accuracy_level=changed.changes.get("accuracy_level"),
        tools=tools,
        room_for_waves=decoder.plan(1).for_waves() == decoder.plan(1, any_machine=True).for_waves(),
    )


def _try_out(folder: ModelFolder, decoder: Decoder) -> None:
    """Run a few tokens the way the engine will, so that a graph that cannot work fails now and not in a turn."""
    if decoder.kv.bytes_per_token > KV_BYTES_PER_TOKEN_MAX:
        raise ModelError(
            f"a token needs {decoder.kv.bytes_per_token} bytes of KV cache, more than {KV_BYTES_PER_TOKEN_MAX}",
            where=str(folder.layout.config_path),
            expected=KV_BYTES_PER_TOKEN_MAX,
            actual=decoder.kv.bytes_per_token,
            hint="head_size, num_key_value_heads or num_hidden_layers is wrong.",
        )
    token = folder.layout.bos or 0
    steps = [[token, token], [token, token], [token]] if decoder.chunk_tokens else [[token, token], [token]]
    decoder.begin(sum(len(step) for step in steps))
    try:
        rows = [decoder.run(step).copy() for step in steps]
    except RUNTIME_ERRORS as error:
        refused = "An operator of it refuses what it is given, and says why: what the graph asks for is not supported"
        raise ModelError(
            f"the graph fails on its first tokens: {first_line(error)}",
            where=str(folder.layout.graph_path),
            expected="logits",
            hint=f"{refused}, or {folder.layout.config_path.name} describes another graph."
            if is_kernel_refusal(error)
            else f"The graph is damaged, or not a decoder as {folder.layout.config_path.name} describes it.",
        ) from error
    if not all(np.isfinite(row.max()) for row in rows):
        raise ModelError(
            "the graph gives logits that are not numbers",
            where=str(folder.layout.graph_path),
            expected="finite logits",
            hint="Its weights are damaged, or do not belong to this graph: copy the folder again.",
        )
