"""The meaning of a world: its tables and sources read, its agents listed, every name in it resolved."""
