"""This room opens models, checks them and computes their scores; those of the package lie in ``packaged``."""
