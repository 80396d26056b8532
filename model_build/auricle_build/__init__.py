"""The model side of Auricle: datasets, training, quantisation, evaluation, export."""
