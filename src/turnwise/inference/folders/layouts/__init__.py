"""The conventions in which model folders come, each read into the same `Layout`."""
