"""One execution of one turn, in the process that runs it."""
