"""Parts of `bench_inference.py`: the same work for several engines, and the same weights for each."""
