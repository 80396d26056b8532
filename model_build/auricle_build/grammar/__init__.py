"""This room knows what a recipe may say: its keys as they are declared, and how a file is read along them."""
