"""Sandboxes: WebAssembly executed turn by turn, in worker processes that cannot do anything else.

From below: `engine` (one fixed configuration), `execution` (what one execution asks of the host), the carriers
`module` and `component` with `wasi`, `executor` (all code of a world), `worker` (a process around an executor), `pool`
(many of them). `code` turns sources into compiled code beforehand.
"""
