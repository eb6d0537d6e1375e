"""A page on which people answer what agents ask, and take the turns of one, served by a process beside the run.

It reads the journal as the monitor does, and leaves answers in the file from which the run takes them: the same as
`turnwise answer`. It has no other way to a run.
"""
