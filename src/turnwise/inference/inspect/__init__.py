"""Inspection: models in the calling process, for the command line.

`examine` and `examine_graph` are `turnwise models check`, `measure` and `measure_graph` are `turnwise models bench`,
`generate` is `turnwise generate`. Imports every room of the inference process but `server`.
"""
