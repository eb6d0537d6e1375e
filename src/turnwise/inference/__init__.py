"""Language models on ONNX Runtime: a process that answers `generate` requests, the same bits every time.

On the orchestrator's side: `host` (one process, started again when it dies), `model` and `request` (what is said about
models and asked of them), `protocol` (what goes between). In the process, from the top:

- `server`: messages in, steps of the engines, messages out.
- `engine`: schedule, run, postprocess. `scheduler` decides what runs next and knows numbers only; `decoder` with `kv`
  runs the graph and knows tensors only; `sequence` turns logits into a reply, with `sampling` and `text`.
- `load`: a model from a folder, by `model_folder`, `graph` (what model.onnx says before it is trusted), `tokenizer`,
  `template`, `providers` and `content_hash`.

`generate` is the engine in the calling process, for the command line. `runtime` is the one door to ONNX Runtime.
"""
