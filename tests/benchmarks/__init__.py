"""That the benchmarks run, and find out when what they run has changed."""
