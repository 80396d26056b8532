"""This room numbers messages, keeps them and sends them."""
