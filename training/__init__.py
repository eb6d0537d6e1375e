"""Scripts that make what the package carries and nobody could write by hand."""
