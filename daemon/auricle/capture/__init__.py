"""This room brings sound in; the child of every microphone lives here, so that it imports nothing but this room."""
