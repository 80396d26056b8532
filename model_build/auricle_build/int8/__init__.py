"""This room turns a trained network into int8: its grids, its graphs, its golden vectors."""
