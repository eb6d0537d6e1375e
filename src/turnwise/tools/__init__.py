"""Tools: what agents can call outside of the run, each server in a process of its own."""
