"""One module a command. A command returns its exit code; errors are raised and told by `turnwise.cli.program`."""
