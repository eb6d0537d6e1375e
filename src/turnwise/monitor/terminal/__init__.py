"""The essential part of the monitor in a terminal."""
