"""One file of a Python agent and the packages that it needs: `turnwise build`.

`requirements` reads what is asked for, `packages` takes it out of an environment, `trial` imports it in a sandbox, and
`build` puts it together.
"""
