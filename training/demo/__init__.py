"""Makes the demo model: text from a generator, a tokenizer, a small Llama, its export, and its evaluation.

`words` and `sentences` say things in English, `policy` decides what is said, `dialogue` makes whole conversations of
both; `tokenizer`, `model`, `train` and `export` make a model folder of those; `check` and `evaluate` measure it.
"""
