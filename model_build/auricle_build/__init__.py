"""Auricle's model side lies here: datasets, training, quantisation, evaluation, export."""
