"""Facts from the operating system about the machine and its user: cores, memory, and where files may be put.

Knows nothing of Turnwise; every component may ask. `clock`, `cores`, `memory` and `user_folders` are one question each.
"""
