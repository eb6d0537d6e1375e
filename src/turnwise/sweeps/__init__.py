"""Sweeps: one world played with many seeds and values, on one pool of workers and one inference process.

`variables` reads what is varied, `sweep` plays, `row` reads a run that has ended, `moves` compares the values of each
variable.
"""
