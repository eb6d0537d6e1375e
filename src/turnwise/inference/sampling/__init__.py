"""Sampling: logits to a token, the same on every machine.

`choose` applies penalties, bias and the cuts of `top_k` and `top_p`, and draws from the request's own stream; `grammar`
says which tokens may come, for JSON schemas, regular expressions and Lark. Imports `text` for the vocabulary. Start
reading at `choose`.
"""
