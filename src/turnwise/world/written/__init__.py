"""The world as it is written: documents, from TOML or Python, and the types that they are parsed into."""
