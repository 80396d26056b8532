"""This room brings messages out: numbered, sent over ZeroMQ, and kept."""
