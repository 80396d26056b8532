"""This room turns pieces of sound into decisions, and decisions into messages."""
