"""ONNX: graph files, and ONNX Runtime.

`graph_facts` reads what a graph says of itself, `gather_logits` and `accuracy_level` rewrite one; `sessions` opens it
on the best execution provider, and `runtime` is the one door to ONNX Runtime. Imports `plans` and `requests` only.
"""
