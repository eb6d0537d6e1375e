"""The inference process.

`server` is its main loop: loads models, gives up rights (`confinement`), then takes messages between the steps of its
engines. `model_server` runs requests and waves on a language model, `tensor_server` on the other kinds. Imports
`engine`, `tensor_models`, and what is below them; meets the host in `protocol` only.
"""
