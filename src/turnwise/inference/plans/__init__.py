"""Plans: what the orchestrator asks of inference and knows of a model, without any tensor.

`model_spec` is a model as the world asks for it, `model_info` as it was found, `engine_options` how the machine is
used. `wave` and `batch_plan` are requests that run together, and by which numbers. Imports `requests` only. Start
reading at `model_info`, then `batch_plan`.
"""
