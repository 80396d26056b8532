"""Auricle is given mutated input of all kinds here: how it is mutated, what reads it, and a server that judges each
case."""
