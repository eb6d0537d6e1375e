"""The functions that people call: thin, and the same that the command line uses.

Those that need the same have a module, which is imported when one of them is first used: who opens a journal needs
nothing of what plays, proves or exports one.
"""
