"""A connector hands what the daemon says on to other people's programs; each runs as a process of its own, so that what
hangs there cannot hang hearing.

They use the client, the messages and the errors alone, and are given plain values: `commands/bridge.py` reads the
configuration.
"""
