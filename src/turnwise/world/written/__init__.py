"""What a world says: documents, from TOML or Python, and the types that they are parsed into."""
