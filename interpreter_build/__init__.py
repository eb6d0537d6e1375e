"""Making one core module of the interpreter component; see docs/decisions/0091-interpreter-module.md.

Used when the interpreter is built, never when it runs: `encoding` reads and writes the binary format, `core_module` and
`component` parse it, `instructions` renumbers what functions refer to, and `merge` links.
"""
