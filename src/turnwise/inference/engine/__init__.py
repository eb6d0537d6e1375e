"""The batching engine: many generations on one language model, each with the bits that it has alone.

`engine` repeats schedule, run, postprocess. `scheduler`, `rows` and `prefix_index` decide with numbers only; `sequence`
is one generation, from logits to a reply; `load` makes a `language_model` from a folder. Imports `decoding`,
`sampling`, `text`, and what is below them. Start reading at `engine`.
"""
