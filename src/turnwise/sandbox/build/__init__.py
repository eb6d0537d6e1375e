"""Building of code: sources compiled, checked against the contract, cached, and named by a hash."""
