"""Mutation testing: `python -m tests.mutants core` changes the code in one place at a time; does a test fail?

A change that no test notices is a test that is missing, or a change that changes nothing; those are listed, with the
reason, in `equivalent.txt`.
"""
