"""This room is the daemon's life: what it opens, listens to, watches, reloads and answers."""
