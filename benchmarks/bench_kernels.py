"""Microseconds of the ONNX Runtime kernels that a decode step consists of, by form of the weights and of the KV cache.

    python benchmarks/bench_kernels.py [--threads 1,2] [--repeats 25]

Matrices have the sizes of Qwen2.5-0.5B's feed-forward layer (896 to 4,864), and there are so many that they do not
stay in the processor's caches, as in a real step. Attention has its heads (14 of 64, in 2 groups). Each line is one
JSON object. All forms of one kind run alternately; `us` is the lower quartile of one operator, `us_per_row` that by
the rows. `equal_alone`: the first row has the same bits in this batch as alone (of matrices only).
Needs `pip install onnx`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from turnwise.inference.onnx.runtime import ort

FEATURES_IN, FEATURES_OUT, COPIES = 896, 4864, 40
FORMS = {
    "int4, blocks of 16": (4, 16),
    "int4, blocks of 32": (4, 32),
    "int4, blocks of 64": (4, 64),
    "int4, blocks of 128": (4, 128),
    "int8, blocks of 32": (8, 32),
    "int8, blocks of 128": (8, 128),
}
HEADS, KV_HEADS, HEAD_SIZE, LAYERS = 14, 2, 64, 24
CACHES = {"float32": TensorProto.FLOAT, "int8": TensorProto.INT8}
POSITIONS_MAX = 1024

Run = Callable[[], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--threads", type=lambda text: [int(part) for part in text.split(",")], default=[1, 2])
    parser.add_argument("--repeats", type=int, default=25)
    options = parser.parse_args()
    print(json.dumps({"onnxruntime": ort.__version__}))
    for threads in options.threads:
        matrices(threads, options.repeats)
        attention(threads, options.repeats)


def matrices(threads: int, repeats: int) -> None:
    """MatMulNBits at accuracy level 4."""
    sessions = {form: _session(_matrices(*size), threads) for form, size in FORMS.items()}
    values = np.random.default_rng(1).standard_normal((16, FEATURES_IN)).astype(np.float32)
    for rows in (1, 2, 8, 16):
        feeds = {"a": values[:rows]}
        runs = {form: _runner(session, feeds) for form, session in sessions.items()}
        alone = {form: session.run(None, {"a": values[:1]})[0][0] for form, session in sessions.items()}
        for form, seconds in _alternate(runs, repeats).items():
            us = seconds / COPIES * 1e6
            equal = bool(np.array_equal(runs[form]()[0][0], alone[form]))
            _report(kernel="MatMulNBits", form=form, threads=threads, rows=rows, us=us, equal_alone=equal)


def attention(threads: int, repeats: int) -> None:
    """GroupQueryAttention onto a cache in place: one new token a row, or many of one row."""
    sessions = {cache: _session(_attention(kind), threads) for cache, kind in CACHES.items()}
    for rows, new, past in ((1, 1, 64), (1, 1, 512), (16, 1, 64), (16, 1, 512), (1, 128, 512)):
        runs = {cache: _bound(session, np.dtype(cache), rows, new, past) for cache, session in sessions.items()}
        for cache, seconds in _alternate(runs, repeats).items():
            us = seconds / LAYERS * 1e6
            _report(kernel="GroupQueryAttention", form=cache, threads=threads, rows=rows, new=new, past=past, us=us)


def _matrices(bits: int, block: int) -> bytes:
    chance = np.random.default_rng(0)
    blocks = -(-FEATURES_IN // block)
    nodes, weights, outputs = [], [], []
    for number in range(COPIES):
        packed = chance.integers(0, 256, (FEATURES_OUT, blocks, block * bits // 8), dtype=np.uint8)
        scales = (chance.random((FEATURES_OUT, blocks)) * 0.01).astype(np.float32)
        weights += [numpy_helper.from_array(packed, f"w{number}"), numpy_helper.from_array(scales, f"s{number}")]
        sizes = {"K": FEATURES_IN, "N": FEATURES_OUT, "bits": bits, "block_size": block, "accuracy_level": 4}
        names = ["a", f"w{number}", f"s{number}"]
        nodes.append(helper.make_node("MatMulNBits", names, [f"y{number}"], domain="com.microsoft", **sizes))
        outputs.append(f"y{number}")
    nodes.append(helper.make_node("Max", outputs, ["y"]))
    inputs = [helper.make_tensor_value_info("a", TensorProto.FLOAT, ["rows", FEATURES_IN])]
    result = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", FEATURES_OUT])]
    return _model(helper.make_graph(nodes, "matrices", inputs, result, weights))


def _attention(cache: int) -> bytes:
    width = (HEADS + 2 * KV_HEADS) * HEAD_SIZE
    angles = np.random.default_rng(0).random((POSITIONS_MAX, HEAD_SIZE // 2)).astype(np.float32)
    constants = [numpy_helper.from_array(np.cos(angles), "cos"), numpy_helper.from_array(np.sin(angles), "sin")]
    quantised: dict[str, Any] = {}
    extra: list[str] = []
    if cache == TensorProto.INT8:
        quantised = {"k_quant_type": "PER_TENSOR", "v_quant_type": "PER_TENSOR", "kv_cache_bit_width": 8}
        extra = ["", "", "", "scale", "scale"]
        constants.append(numpy_helper.from_array(np.array([1 / 32], np.float32), "scale"))
    inputs = [
        helper.make_tensor_value_info("qkv", TensorProto.FLOAT, ["rows", "new", width]),
        helper.make_tensor_value_info("lengths", TensorProto.INT32, ["rows", 1]),
        helper.make_tensor_value_info("longest", TensorProto.INT32, []),
    ]
    nodes, outputs = [], []
    shape = ["rows", KV_HEADS, POSITIONS_MAX, HEAD_SIZE]
    for layer in range(LAYERS):
        past, present = [f"pk{layer}", f"pv{layer}"], [f"k{layer}", f"v{layer}"]
        inputs += [helper.make_tensor_value_info(name, cache, shape) for name in past]
        outputs += [helper.make_tensor_value_info(name, cache, shape) for name in present]
        names = ["qkv", "", "", *past, "lengths", "longest", "cos", "sin", *extra]
        sizes = {"num_heads": HEADS, "kv_num_heads": KV_HEADS, "do_rotary": 1, **quantised}
        node = helper.make_node("GroupQueryAttention", names, [f"y{layer}", *present], domain="com.microsoft", **sizes)
        nodes.append(node)
    nodes.append(helper.make_node("Max", [f"y{layer}" for layer in range(LAYERS)], ["y"]))
    outputs.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", "new", HEADS * HEAD_SIZE]))
    return _model(helper.make_graph(nodes, "attention", inputs, outputs, constants))


def _model(graph: onnx.GraphProto) -> bytes:
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    content: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
    return content


def _session(model: bytes, threads: int) -> Any:
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = threads
    return ort.InferenceSession(model, settings, providers=["CPUExecutionProvider"])


def _runner(session: Any, feeds: dict[str, NDArray[Any]]) -> Run:
    return lambda: session.run(None, feeds)


def _bound(session: Any, dtype: np.dtype[Any], rows: int, new: int, past: int) -> Run:
    width = (HEADS + 2 * KV_HEADS) * HEAD_SIZE
    feeds = {
        "qkv": np.random.default_rng(2).standard_normal((rows, new, width)).astype(np.float32),
        "lengths": np.full((rows, 1), past + new - 1, np.int32),
        "longest": np.array(past + new, np.int32),
    }
    slab = np.zeros((2 * LAYERS, rows, KV_HEADS, POSITIONS_MAX, HEAD_SIZE), dtype)
    binding = session.io_binding()
    for name, array in feeds.items():
        binding.bind_cpu_input(name, array)
    for number in range(2 * LAYERS):
        layer, kind = divmod(number, 2)
        address = slab[number].ctypes.data
        binding.bind_input(f"p{'kv'[kind]}{layer}", "cpu", 0, dtype.type, slab[number].shape, address)
        binding.bind_output(f"{'kv'[kind]}{layer}", "cpu", 0, dtype.type, slab[number].shape, address)
    binding.bind_output("y")

    def run() -> tuple[Any, ...]:
        session.run_with_iobinding(binding)
        return slab, feeds  # what is bound must live as long

    return run


def _alternate(runs: dict[str, Run], repeats: int) -> dict[str, float]:
    """The lower quartile of each, in seconds."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return {name: sorted(found)[len(found) // 4] for name, found in times.items()}


def _report(us: float, **fields: Any) -> None:
    rows = fields["rows"]
    print(json.dumps({**fields, "us": round(us, 1), "us_per_row": round(us / rows, 1)}), flush=True)


if __name__ == "__main__":
    main()
