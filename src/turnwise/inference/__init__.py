"""Language models, graphs and encoders on ONNX Runtime, in a process of their own, with the same bits every time.

Two processes meet here. In the orchestrator's:

- `requests`: what may be asked of a model, and the form of a reply.
- `plans`: what the orchestrator knows of a model, and what waves are run by.
- `tool_calls`: how a model is told of tools, and the calls in what it says. The inference process uses it, too.
- `host`: hands requests to the inference process, and keeps one running. Start reading here, at `host.host`.
- `protocol`: the messages between the two.

In the inference process:

- `server`: its main loop.
- `engine`: many requests to one language model: schedule, run, postprocess. The heart, at `engine.engine`.
- `tensor_models`: graphs for `infer`, encoders for `embed`.
- `decoding`: one step of one graph, and its KV cache.
- `sampling`: logits to a token.
- `text`: text to tokens and back.
- `folders`: a folder on disk to what is known of a model.
- `onnx`: a graph file, and ONNX Runtime.

`inspect` is for the command line: the engine in the calling process, to examine models and to measure them.

A room imports only rooms below it: inspect > server > engine, tensor_models > decoding, sampling > text > folders >
onnx > tool_calls > plans > requests, and host > protocol > plans > requests. Those of the orchestrator's process import
neither the rooms of the other nor numpy, onnxruntime, tokenizers, jinja2 or llguidance. import-linter holds both.
"""
