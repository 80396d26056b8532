"""Auricle listens: live sound in, named events out over ZeroMQ."""

__version__ = "0.1.0"
