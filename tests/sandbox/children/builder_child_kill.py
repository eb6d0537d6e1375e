"""A builder that is killed."""

import os

os.kill(os.getpid(), 9)
