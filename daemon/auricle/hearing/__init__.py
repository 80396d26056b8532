"""This room makes decisions of pieces of sound, for one source, for many together, and for whole files."""
