"""Mutated input for all that Auricle reads: how it is mutated, what reads it, and a server that judges each case."""
