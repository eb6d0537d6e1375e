"""Turnwise as an MCP server: worlds and journals of one folder, checked, run, read and forked by whoever speaks to it.

`server` says what there is to call; each call is a process of the command line (`process`), whose JSON is the result,
so it ends with its process, takes no memory of the server's, and says what the command says. `folder` holds the way to
files inside of the folder, and none out of it.
"""
