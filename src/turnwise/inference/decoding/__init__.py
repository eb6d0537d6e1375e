"""Decoding: a language model's graph, run one step at a time.

`decoder` takes token ids and gives logits; `call` binds memory for a run, `kv_cache` and `growing_kv_cache` keep what
was run. `graph_form` knows under which rule a graph gives a row the same bits in every batch, `self_test` and
`numeric_class` try it. Imports `folders`, `onnx` and `plans`. Start reading at `decoder`.
"""
