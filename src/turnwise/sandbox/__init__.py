"""Sandboxes: WebAssembly executed turn by turn, in worker processes that cannot do anything else.

Executing, from below: `engine` (one configuration), `execution` (what one execution asks of the host), `traps`, the
carriers `module` and `component` with `wasi`, `executor` (all code of a world), `worker` (a process around an executor,
confined), `seat` (the place of a worker), `schedule` (batches), `pool` (all of it behind one queue).

Preparing: `code` (from sources to something that can be executed), `artefacts` and `programs` (what is compiled),
`cache`, `build` and `builder` (the process that compiles), `contract` (imports and exports).
"""
