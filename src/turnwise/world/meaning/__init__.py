"""What a world means: its tables and sources read, its agents listed, every name in it resolved."""
