"""What executes agents: the program, its loader, one turn, and the words for what went wrong.

The same code runs inside the interpreter component and, without any sandbox, in `turnwise_guest.native`. Agents have no
use for it.
"""
