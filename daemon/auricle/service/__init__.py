"""This room is the daemon's life: what is opened, reloaded, watched and answered."""
