"""Recordings in bulk are heard by several processes, with a ledger that makes it go on after any interruption."""
