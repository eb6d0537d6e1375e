"""The orchestrator's side of inference.

`host` is what the rest of Turnwise uses: requests in, replies out. `open_requests` remembers what is not answered,
`supervisor` keeps a process running, `measures` asks one what it gives up. Imports `protocol`, `plans` and `requests`.
"""
