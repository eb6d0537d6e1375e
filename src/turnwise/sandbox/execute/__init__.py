"""Execution of turns, in the process that runs them."""
