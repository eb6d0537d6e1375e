"""A builder that answers another question."""

import sys

import msgspec

from turnwise.sandbox.build.messages import PrepareReply

sys.stdout.buffer.write(msgspec.msgpack.encode(PrepareReply(["program"])))
