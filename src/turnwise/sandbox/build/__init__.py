"""From sources to compiled code: checked against the contract, cached, and named by a hash."""
