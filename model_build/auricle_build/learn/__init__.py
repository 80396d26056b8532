"""This room trains: the network, its batches, its teacher, its steps."""
