"""Models on tensors: graphs for `infer`, encoders for `embed`.

`graph_engine` serves jobs to one graph: `infer_job`, or texts of an `embedder`. `graph_model` runs rows, and
`row_batching` tries which may share a run. `load` opens and checks a graph. Imports `text`, `folders`, `onnx`, and what
is below them. Start reading at `graph_engine`.
"""
