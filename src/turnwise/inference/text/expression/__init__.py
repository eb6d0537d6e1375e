"""Regular expressions of tokenizers: what matching one takes is counted before the library matches it.

`syntax` reads an expression as Oniguruma does, `program` makes steps of it, `steps` counts those that matching a text
takes, and `known` lists the expressions of public models, whose steps grow with the text and need no count.
"""
