"""A builder whose answer is no message."""

import sys

sys.stdout.write("made you look")
