"""This room brings sound in: from a microphone, a command, standard input or recordings, as pieces with their times."""
