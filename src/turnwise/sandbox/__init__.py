"""Sandboxes: WebAssembly executed turn by turn, in worker processes that can do nothing but compute.

Three rooms, each of which imports only those below it:

- `pool/`: many workers behind one queue. `pool`, `worker_slot` (the place of one worker), `batch_queue`, `messages`,
  and `worker`, the process at the other end.
- `build/`: from sources to something that can be executed. `code`, `artefacts` and `programs` (what is compiled),
  `installed` (this installation's interpreters), `cache`, `contract` (imports and exports), `builder` (the process that
  compiles) and `builder_process` (starting it).
- `execute/`: one execution of one turn. `engine` (one configuration), `execution` (the host's side of it), `traps`, the
  carriers `module` and `component` with `wasi`, and `executor` (all code of a world).

`python/` holds the interpreter module of Python agents, `javascript/` the interpreter module of JavaScript agents;
`languages` names what they interpret.
"""
