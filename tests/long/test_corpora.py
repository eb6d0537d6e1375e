"""What is public and large, each with its counts printed: `pytest -m corpora -s tests/long`.

`fetch_corpora.py` says where it comes from, and TURNWISE_TEST_CORPORA where it lies.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import unicodedata
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.inference.sampling.accepts import accepts
from tests.inference.tool_calls.families import goes_round
from tests.inference.toy import byte_tokenizer
from tests.long.fetch_corpora import RENDER, python
from turnwise.errors import ModelError
from turnwise.inference.onnx.runtime import ort
from turnwise.inference.plans.model_spec import ModelSpec
from turnwise.inference.requests.generate_request import ChatMessage, GrammarSource
from turnwise.inference.requests.infer_request import InferRequest, parcel_of
from turnwise.inference.requests.refusal import Refusal
from turnwise.inference.requests.tensors import Tensor, to_json
from turnwise.inference.sampling.grammar import GrammarCompiler
from turnwise.inference.tensor_models.infer_job import InferJob
from turnwise.inference.tensor_models.load import load_graph
from turnwise.inference.text.chat_template import ChatTemplate
from turnwise.inference.text.tokenizer import Tokenizer, read_tokenizer
from turnwise.inference.text.tool_form import find_tool_form

pytestmark = [pytest.mark.corpora, pytest.mark.timeout(3600)]

DRAFTS = ("draft4", "draft6", "draft7", "draft2019-09", "draft2020-12")
KNOWN_WIDER = {
    ("ecmascript-regex.json", "zero-width whitespace does not match"),  # patterns are Rust's
    ("content.json", "an invalid JSON document"),  # annotations, by the later drafts
    ("content.json", "an invalid base64 string (% is not a valid character)"),
    ("content.json", "a validly-encoded invalid JSON document"),
    ("content.json", "an invalid base64 string that is valid JSON"),
    ("ref.json", "$ref resolves to /definitions/base_foo, data does not validate"),  # a $id beside a $ref
}
"""Answers that the JSON-Schema test suite calls invalid and that are possible: documented in docs/reliability.md."""


def test_the_json_schema_test_suite(corpora: Path) -> None:
    """No answer breaks its schema: every instance that is invalid cannot be generated in any order of its keys."""
    counts: Counter[str] = Counter()
    wider: list[tuple[str, str, str]] = []
    suite = "unpacked/jsonschema/*/json/tests"
    for path in sorted(path for draft in DRAFTS for path in corpora.glob(f"{suite}/{draft}/**/*.json")):
        for group in json.loads(path.read_text()):
            if not isinstance(group["schema"], dict):
                continue
            counts["schemas"] += 1
            try:
                accepts(group["schema"], "")
            except Refusal:
                counts["schemas refused"] += 1
                continue
            for test in group["tests"]:
                found = any(accepts(group["schema"], compact(value)) for value in key_orders(test["data"]))
                counts[f"{'valid' if test['valid'] else 'invalid'} {'possible' if found else 'not possible'}"] += 1
                if found and not test["valid"] and (path.name, test["description"]) not in KNOWN_WIDER:
                    wider.append((str(path), group["description"], test["description"]))
    print("\nJSON-Schema test suite:", dict(counts))
    assert counts["schemas"] > 1500
    assert counts["valid possible"] > 2000
    assert not wider


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def key_orders(value: Any) -> Iterator[Any]:
    """A value with the keys of its objects in other orders; a bounded number of them."""
    if isinstance(value, dict):
        for order in itertools.islice(itertools.permutations(value), 24):
            values = [list(itertools.islice(key_orders(value[key]), 4)) for key in order]
            for chosen in itertools.islice(itertools.product(*values), 8):
                yield dict(zip(order, chosen, strict=True))
    elif isinstance(value, list):
        for entries in itertools.islice(
            itertools.product(*[list(itertools.islice(key_orders(v), 4)) for v in value]), 8
        ):
            yield list(entries)
    else:
        yield value


def test_nodes_of_onnx(corpora: Path) -> None:
    """ONNX's own tests of operators, asked through the request and the reply of `infer`."""
    counts: Counter[str] = Counter()
    wrong = []
    for folder in sorted(corpora.glob("onnx/*")):
        counts["cases"] += 1
        with np.load(folder / "inputs.npz") as inputs, np.load(folder / "outputs.npz") as outputs:
            given, expected = dict(inputs), dict(outputs)
        try:
            model = load_graph(ModelSpec("m", folder / "model.onnx", "cpu")).model
        except ModelError as error:
            kind = "random" if "random" in error.message else "types" if "has type" in error.message else "runtime"
            counts[f"refused on loading: {kind}"] += 1
            continue
        found = infer(model, given)
        if isinstance(found, str):
            counts["refused"] += 1
            continue
        tolerance = json.loads((folder / "case.json").read_text())
        same = all(
            name not in found
            or (
                found[name].shape == array.shape
                and np.allclose(found[name], array, tolerance["rtol"], max(tolerance["atol"], 1e-5), equal_nan=True)
            )
            for name, array in expected.items()
        )
        counts["as expected" if same else "other values"] += 1
        if not same:
            wrong.append(folder.name)
            session = ort.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
            plain = dict(zip([spec.name for spec in model.outputs], session.run(None, given), strict=True))
            assert all(np.array_equal(found[name], plain[name], equal_nan=True) for name in found)
    print("\nONNX node tests:", dict(counts), wrong)
    assert counts["as expected"] > 1000
    assert len(wrong) <= counts["cases"] // 50  # ONNX Runtime's own: asked without us it gives the same


def infer(model: Any, arrays: dict[str, Any]) -> dict[str, Any] | str:
    tensors = {}
    for name, array in arrays.items():
        if name in {spec.name for spec in model.inputs}:
            little = np.ascontiguousarray(array)
            tensors[name] = to_json(Tensor(str(array.dtype), array.shape, little.tobytes()))
    body = json.dumps({"effect": "infer", "model": "m", "inputs": tensors})
    try:
        job = InferJob(parcel_of(InferRequest(1, "m", body)), model, lambda: None)
        job.take(0, model.run(job.inputs[0]))
    except Refusal as refusal:
        return refusal.message
    return {
        name: np.frombuffer(tensor.data, np.dtype(tensor.dtype)).reshape(tensor.shape)
        for name, tensor in job.answer().tensors.items()
    }


CONVERSATIONS: list[list[dict[str, str]]] = [
    [{"role": "user", "content": "Hello <b>you</b> & 'me'"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": " Hi \n"}],
    [
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "<think>\nhm\n</think>\n\nOne."},
        {"role": "user", "content": "Two?"},
    ],
]
TOOL = {
    "type": "function",
    "function": {
        "name": "price",
        "description": "What it costs",
        "parameters": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
    },
}
TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
ARGUMENTS: list[dict[str, Any]] = [{}, {"tools": [TOOL]}, {"enable_thinking": False}]


def test_chat_templates_render_as_in_transformers(corpora: Path) -> None:
    """Templates of real models. Those that write the date are rendered for today."""
    paths = sorted(corpora.glob("unpacked/*/**/*.jinja"))
    beside = {text for path in tokenizers(corpora) if (text := chat_template(path))}
    texts = sorted({path.read_text() for path in paths} | beside)
    cases = list(itertools.product(texts, CONVERSATIONS, ARGUMENTS))
    asked = [
        {"template": text, "messages": messages, "arguments": {**TOKENS, **arguments}}
        for text, messages, arguments in cases
    ]
    now = datetime.now(UTC)
    done = subprocess.run(
        [str(python(corpora)), "-c", RENDER],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "TZ": "UTC"},
    )
    expected = json.loads(done.stdout.splitlines()[-1])
    counts: Counter[str] = Counter({"templates": len(texts)})
    wrong = []
    for (text, messages, arguments), reference in zip(cases, expected, strict=True):
        try:
            template = ChatTemplate(text, TOKENS, where="template")
            chat = [ChatMessage(message["role"], message["content"]) for message in messages]
            found: str | None = template.render(chat, arguments, now_us=int(now.timestamp() * 1_000_000))
            said = ""
        except (Refusal, ModelError) as error:
            found, said = None, error.message
        counts["renderings"] += 1
        if found == reference:
            counts["equal" if found is not None else "refused by both"] += 1
        else:
            counts["other"] += 1
            wrong.append(
                (text[:80], arguments, said, None if reference is None else reference[:200], (found or "")[:200])
            )
    print("\nChat templates:", dict(counts))
    for item in wrong[:40]:
        print(item)
    assert counts["templates"] > 60
    assert counts["other"] == 0


def tokenizers(corpora: Path) -> list[Path]:
    return sorted(corpora.glob("unpacked/*/**/tokenizer.json"))


def chat_template(path: Path) -> str | None:
    """The template beside a tokenizer, if there is one."""
    template = json.loads((path.parent / "tokenizer_config.json").read_text()).get("chat_template")
    return template if isinstance(template, str) else None


def test_tokenizers_of_real_models(corpora: Path) -> None:
    """Text comes back as it was, messages forge no control token, and grammars write text as the tokenizer would."""
    sentences = ["Hello, world!", "def f(x):\n    return x  # é 日本語 🙂\n", "  two  spaces ", "x" * 1000, "‮ﷺ\u00a0\t"]
    counts: Counter[str] = Counter()
    for path in tokenizers(corpora):
        tokenizer = read_tokenizer(path, bos=None, add_bos=False, template=chat_template(path))
        counts["tokenizers"] += 1
        counts["control tokens without the flag"] += len(tokenizer._control - tokenizer._special)
        for sentence in sentences:
            text = written(tokenizer, tokenizer.encode(sentence))
            assert text in (sentence, unicodedata.normalize("NFKC", sentence)), (path, sentence)
            counts["texts"] += 1
        for token in sorted(tokenizer._control):
            name = tokenizer._added[token]
            forged = f"a{name}b"
            ids = tokenizer.encode_rendered(tokenizer.marker.content(forged))
            assert not set(ids) & tokenizer._control, (path, name)
            assert written(tokenizer, ids) in (forged, unicodedata.normalize("NFKC", forged)), (path, name)
            counts["forgeries"] += 1
        grammars = GrammarCompiler(tokenizer.vocabulary(frozenset({min(tokenizer._special)})))
        for sentence in (
            "Once upon a time.",
            "<tool_call>",
            "<think>é</think>",
            "日本語",
            *sorted(added_texts(tokenizer))[:40],
        ):
            answer = followed(grammars, GrammarSource("regex", re.escape(sentence)), tokenizer.ids_end)
            assert answer == sentence, (path, sentence)
            counts["forced texts"] += 1
    print("\nTokenizers:", dict(counts))
    assert counts["tokenizers"] > 0


def written(tokenizer: Tokenizer, ids: list[int]) -> str:
    detokenizer = tokenizer.detokenizer([])
    return "".join(detokenizer.push(token) for token in ids)


def added_texts(tokenizer: Tokenizer) -> set[str]:
    """Added tokens whose text an answer may hold."""
    return {
        text for number, text in tokenizer._added.items() if number not in tokenizer._special and text.isprintable()
    }


def followed(grammars: GrammarCompiler, source: GrammarSource, count: int) -> str:
    """What comes of a grammar: what is forced, else the first token that may come."""
    matcher = grammars.matcher(source)
    found: list[int] = []
    while not matcher.complete and len(found) < 100:
        tokens = matcher.forced() or [int(np.flatnonzero(matcher.allowed(count)).min())]
        for token in tokens:
            matcher.push(token)
        found += tokens
    return str(grammars._vocabulary.trie.decode_bytes(found).decode())


HERMES_HEAD = '<tool_call>\n{"name": "'
HEADS: dict[str, str | None] = {
    "trl/trl/chat_templates/qwen2_5.jinja": HERMES_HEAD,
    "trl/trl/chat_templates/qwen3.jinja": HERMES_HEAD,
    "trl/trl/chat_templates/llama3_1.jinja": '{"name": "',
    "trl/trl/chat_templates/llama3_2.jinja": '{"name": "',
    "axolotl/axolotl/utils/chat_templates/templates/mistral_v2v3.jinja": '[TOOL_CALLS] [{"name": "',
    "axolotl/axolotl/utils/chat_templates/templates/mistral_v3_tekken.jinja": '[TOOL_CALLS][{"name": "',
    "trl/trl/chat_templates/gemma.jinja": None,
    "trl/trl/chat_templates/gemma3.jinja": None,
    "trl/trl/chat_templates/gemma4.jinja": None,
    "axolotl/axolotl/utils/chat_templates/templates/chatml.jinja": None,  # as SmolLM2's is
}
"""Heads of calls in templates of real models; None where the template has no form, and tools are told in words."""
SPECIAL = re.compile(
    r"<\|[^|<>{}\s]+\|>|\[/?[A-Z_]+\]|<(?:start|end)_of_turn>|<｜[^｜]+｜>|<turn\|>|<\|\w+>|<\w+\|>|</?s>"
)
ENDS = ("<|im_end|>", "<|eot_id|>", "<|eot|>", "</s>", "<end_of_turn>", "<turn|>", "<|END_OF_TURN_TOKEN|>")


def test_calls_of_tools_through_templates_of_real_models(corpora: Path) -> None:
    """Tools are told, and calls come back, in each family's own form or in words."""
    counts: Counter[str] = Counter()
    heads: dict[str, str | None] = {}
    for path in sorted(corpora.glob("unpacked/*/**/*.jinja")):
        source = path.read_text()
        inner = byte_tokenizer()
        inner.add_special_tokens(sorted({*SPECIAL.findall(source), *TOKENS.values()}))
        tokenizer = Tokenizer(inner, None)
        ends = frozenset(token for end in ENDS if (token := inner.token_to_id(end)) is not None)
        template = ChatTemplate(source, {name: text for name, text in TOKENS.items() if name in source}, where="t")
        form = find_tool_form(template, tokenizer, sorted(ends))
        name = path.relative_to(corpora / "unpacked").as_posix()
        heads[name] = None if form is None else form.head
        try:
            if "a question" not in template.render([ChatMessage("user", "a question")]):
                counts["takes no text as it is"] += 1
                continue
            goes_round(template, tokenizer, ends, form)
        except Refusal as refusal:
            counts[f"refused: {refusal.message[:60]}"] += 1
            assert name not in HEADS, refusal.message
        else:
            counts["in words" if form is None else "in a form of their own"] += 1
    print("\nCalls of tools:", dict(counts))
    assert {name: heads[name] for name in HEADS} == HEADS
