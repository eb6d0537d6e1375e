"""Execution of agents: the program, its loader, one turn, and the words for what went wrong.

It runs inside the interpreter module, and in the runtime's own process where agents run natively, without sandbox.
Agents have no use for it.
"""
