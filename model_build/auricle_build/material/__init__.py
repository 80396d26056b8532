"""This room holds what is learned from: clips, their sound, their feature rows, and scenes made of them."""
